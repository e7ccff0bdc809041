"""Several strategies side by side: the same number of evaluations, the spread over seeds.

The unit is a run, not a candidate. Runs are cut to the same number of evaluations before they are
compared, so that no arm wins by a larger budget.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from collm_nas.architecture import Architecture
from collm_nas.report.stored import StoredRun

NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """One arm of a comparison."""

    arm: str
    llm: str  # the models as they must be named; empty if there is none
    runs: int
    mean: float  # of the best objective a run found
    spread: float  # standard deviation over runs; nan for a single one
    low: float  # 95% confidence interval of the mean (bootstrap, BCa); nan for a single run
    high: float
    test: float  # mean test accuracy of what each run selected; nan while it is sealed


def compare(
    runs: Sequence[StoredRun],
    evaluations: int,
    test_accuracy: Callable[[Architecture], float] | None = None,
) -> list[Row]:
    """Compare the arms after the first `evaluations` of every run, best mean first."""
    rows = []
    for arm in dict.fromkeys(run.arm for run in runs):
        mine = [run for run in runs if run.arm == arm]
        values = [run.best_so_far()[evaluations - 1] for run in mine]
        rows.append(
            Row(
                arm,
                str(mine[0].result["llm"]),
                len(mine),
                fmean(values),
                stdev(values) if len(values) > 1 else NAN,
                *_interval(values),
                _test(mine, evaluations, test_accuracy),
            )
        )
    return sorted(rows, key=lambda row: -row.mean)


def common_evaluations(runs: Sequence[StoredRun]) -> int:
    """Return the number of evaluations that every run has."""
    return min(len(run.archive.evaluated()) for run in runs)


def print_comparison(rows: Sequence[Row], objective: str, evaluations: int) -> None:
    """Print the table of a comparison."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "strategy",
        "runs",
        f"best {objective} (%)",
        "95% interval of the mean",
        title=f"After {evaluations} evaluations each",
        title_justify="left",
    )
    sealed = all(row.test != row.test for row in rows)
    if not sealed:
        table.add_column("test accuracy (%)")
    for row in rows:
        spread = "" if row.spread != row.spread else f" ± {row.spread:.2f}"
        interval = "one run" if row.low != row.low else f"{row.low:.2f} … {row.high:.2f}"
        test = [] if sealed else [f"{row.test:.2f}"]
        name = f"{row.arm} [{row.llm}]" if "NOT" in row.llm else row.arm
        table.add_row(name, str(row.runs), f"{row.mean:.2f}{spread}", interval, *test)
    Console(file=sys.stdout, markup=False).print(table)


def draw(runs: Sequence[StoredRun], evaluations: int, path: Path) -> Path:
    """Draw the best so far of every arm: mean over its runs, band of one standard deviation."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((7.0, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="evaluations", ylabel=f"best {runs[0].archive.objective} (%)")
    steps, means = np.arange(1, evaluations + 1), []
    for arm in dict.fromkeys(run.arm for run in runs):
        curves = np.array([r.best_so_far()[:evaluations] for r in runs if r.arm == arm])
        mean, spread = curves.mean(axis=0), curves.std(axis=0)
        axes.plot(steps, mean, label=f"{arm} ({len(curves)} run{'s' * (len(curves) > 1)})")
        axes.fill_between(steps, mean - spread, mean + spread, alpha=0.15)
        means.append(mean)
    low, high = min(m[evaluations // 10] for m in means), max(m[-1] for m in means)
    axes.set_ylim(low, high + 0.2 * (high - low) + 0.1)  # the first steps would flatten the rest
    axes.legend(loc="lower right", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=110)
    return path


def _test(
    runs: Sequence[StoredRun],
    evaluations: int,
    test_accuracy: Callable[[Architecture], float] | None,
) -> float:
    chosen = [run.ranking(evaluations)[0].arch for run in runs if run.ranking(evaluations)]
    if test_accuracy is None or not chosen:
        return NAN
    return fmean(test_accuracy(arch) for arch in chosen if arch)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return NAN, NAN
    if min(values) == max(values):
        return values[0], values[0]
    import numpy as np
    from scipy import stats

    rng = np.random.default_rng(0)
    found = stats.bootstrap((np.array(values),), np.mean, n_resamples=2000, rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
