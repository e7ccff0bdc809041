"""Several arms side by side: the same number of evaluations, the spread over seeds.

The unit is a run, not a candidate. Runs are cut to the same number of evaluations before they are
compared, so that no arm wins by a larger budget.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill
from typing import Any

from collm_nas.core.architecture import Architecture
from collm_nas.core.printable import caption, one_line, say
from collm_nas.report.gathering import Arm, Comparison, Gathered
from collm_nas.report.uncertainty import LEVEL

NAN = float("nan")
FEW = 10  # runs: resampling fewer than these gives an interval that is too narrow
Test = Callable[[Architecture], float]


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison. Means are over the runs that found anything within the limits."""

    arm: Arm
    values: tuple[float, ...]  # the best objective of each run at the cut; nan: nothing found
    mean: float
    spread: float  # standard deviation over runs; nan for a single one
    low: float  # interval of the mean (bootstrap, BCa; of few runs Student's t); nan for one run
    high: float
    test: float  # mean test accuracy of what each run selected; nan while it is sealed
    test_spread: float
    apart: bool  # whether its mean can be told apart from that of the first arm


def compare(found: Comparison, test_accuracy: Test | None = None) -> list[ArmSummary]:
    """Compare the arms at the cut, best mean first."""
    at_cut = [(arm, arm.at(found.evaluations)) for arm in found.arms]
    at_cut.sort(key=lambda pair: -_mean(pair[1]) if _known(pair[1]) else float("inf"))
    rows: list[ArmSummary] = []
    for arm, values in at_cut:
        tests = _tests(arm, found.evaluations, test_accuracy)
        rows.append(
            ArmSummary(
                arm,
                tuple(values),
                _mean(values),
                _spread(_known(values)),
                *_interval(_known(values)),
                _mean(tests),
                _spread(tests),
                bool(rows) and _apart(rows[0].values, values, len(at_cut) - 1),
            )
        )
    return rows


def print_comparison(found: Comparison, rows: Sequence[ArmSummary]) -> None:
    """Print the table of a comparison, and what it does and does not show."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from collm_nas.report.pictures import in_words

    title = f"{found.problem}: after {found.evaluations} evaluations each"
    table = Table(title=Text(one_line(title), "table.title"), title_justify="left")
    table.add_column("arm", overflow="fold")
    for column in (
        "runs",
        f"best {in_words(found.objective)} (%)",
        f"{LEVEL}% interval of the mean",
    ):
        table.add_column(Text(one_line(column)))
    sealed = all(isnan(row.test) for row in rows)
    if not sealed:
        table.add_column("test accuracy (%)")
    for row in rows:
        interval = "one run" if isnan(row.low) else f"{row.low:.2f} … {row.high:.2f}"
        test = [] if sealed else [_with_spread(row.test, row.test_spread)]
        table.add_row(
            Text(one_line(row.arm.label)),
            _runs(row),
            _with_spread(row.mean, row.spread),
            interval,
            *test,
        )
    Console(file=sys.stdout, markup=False).print(table)
    say(*_meaning(found, rows))


def print_notes(found: Gathered) -> None:
    """Print why there are several tables, and which runs were not counted, each with the reason."""
    if found.separated:
        say(found.separated)
    if found.left_out:
        print("not counted:")
    for run in found.left_out:
        say(f"  {one_line(str(run.directory))}: {run.reason}")


def draw(comparisons: Sequence[Comparison], path: Path) -> Path:
    """Draw a panel for each problem: the best so far of its arms, means and standard deviations.

    Runs that are too short to be counted are drawn dashed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from collm_nas.report.pictures import in_words

    entries = max(len(c.arms) + len(c.short) for c in comparisons)
    figure = Figure((7.0 * len(comparisons), 4.2 + 0.3 * entries), layout="constrained")
    panels = figure.subfigures(1, len(comparisons), squeeze=False)[0]
    for panel, found in zip(panels, comparisons, strict=True):
        axes = panel.add_subplot(
            title=caption(fill(found.problem, 60)),
            xlabel="evaluations",
            ylabel=caption(f"best {in_words(found.objective)} (%)"),
        )
        _draw_arms(axes, found)
        panel.legend(loc="outside lower center", frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=110)
    return path


def _draw_arms(axes: Any, found: Comparison) -> None:
    import numpy as np

    ends, floors = [], []
    for arm in found.arms:
        curves = np.array([run.best_so_far()[: found.evaluations] for run in arm.runs])
        some = ~np.isnan(curves).all(axis=0)  # nothing may be found within the limits at first
        steps, curves = 1 + np.flatnonzero(some), curves[:, some]
        mean, spread = np.nanmean(curves, axis=0), np.nanstd(curves, axis=0)
        label = f"{arm.label} ({len(arm.runs)} run{'s' * (len(arm.runs) > 1)})"
        axes.plot(steps, mean, label=caption(fill(label, 80)))
        axes.fill_between(steps, mean - spread, mean + spread, alpha=0.15)
        if len(mean):
            ends.append(mean[-1])
            floors.append(mean[len(mean) // 10])
    for label, run in found.short:
        curve = run.best_so_far()
        axes.plot(
            range(1, len(curve) + 1), curve, "--", label=caption(fill(f"{label}: unfinished", 80))
        )
    if ends:
        low, high = min(floors), max(ends)
        margin = 0.2 * (high - low) + 0.1
        axes.set_ylim(low - margin, high + margin)  # the first steps would flatten the rest


def _meaning(found: Comparison, rows: Sequence[ArmSummary]) -> list[str]:
    lines = [one_line(found.cut)]
    if len(rows) > 1 and any(len(_known(row.values)) < 2 for row in rows):
        lines.append("An arm of one run says nothing of what its other seeds would give.")
    same = [row.arm.label for row in rows[1:] if not row.apart]
    if same:
        lines.append(
            f"These {len(same) + 1} arms cannot be told apart by their means (permutation test "
            f"over runs, {100 - LEVEL}%, Bonferroni):"
        )
        lines += [f"  {one_line(label)}" for label in [rows[0].arm.label, *same]]
    return lines


def _runs(row: ArmSummary) -> str:
    notes = []
    if unfinished := sum(not run.finished for run in row.arm.runs):
        notes.append(f"{unfinished} unfinished")
    if nothing := len(row.values) - len(_known(row.values)):
        notes.append(f"{nothing} found nothing within the limits")
    return f"{len(row.values)}" + (f" ({', '.join(notes)})" if notes else "")


def _with_spread(mean: float, spread: float) -> str:
    if isnan(mean):
        return "none"
    return f"{mean:.2f}" + ("" if isnan(spread) else f" ± {spread:.2f}")


def _tests(arm: Arm, evaluations: int, test_accuracy: Test | None) -> list[float]:
    if test_accuracy is None:
        return []
    chosen = [ranking[0].arch for run in arm.runs if (ranking := run.ranking(evaluations))]
    return [test_accuracy(arch) for arch in chosen if arch]


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not isnan(value)]


def _mean(values: Sequence[float]) -> float:
    known = _known(values)
    return fmean(known) if known else NAN


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else NAN


def _interval(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return NAN, NAN
    if min(values) == max(values):
        return values[0], values[0]
    import numpy as np
    from scipy import stats

    if len(values) < FEW:
        ends = stats.t.interval(LEVEL / 100, len(values) - 1, fmean(values), stats.sem(values))
        return float(ends[0]), float(ends[1])
    rng = np.random.default_rng(0)
    found = stats.bootstrap((np.array(values),), np.mean, n_resamples=2000, rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _apart(first: Sequence[float], other: Sequence[float], comparisons: int) -> bool:
    """Tell whether the means of two arms differ by more than their seeds leave open."""
    a, b = _known(first), _known(other)
    if min(len(a), len(b)) < 2:
        return False
    import numpy as np
    from scipy import stats

    def difference(x: Any, y: Any, axis: int) -> Any:
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    rng = np.random.default_rng(0)
    test = stats.permutation_test((a, b), difference, vectorized=True, n_resamples=9999, rng=rng)
    return bool(test.pvalue * comparisons <= 1 - LEVEL / 100)
