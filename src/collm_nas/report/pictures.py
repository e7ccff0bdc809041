"""Pictures of one search: how the best grew, and accuracy against cost. Validation only."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from collm_nas.core.archive import Archive
from collm_nas.core.printable import caption
from collm_nas.report.ranking import ranked

SIZE = (6.4, 4.0)  # inches
BLUE, RED, GREY = "#1f5fa8", "#c8102e", "#8a8f98"


def draw(archive: Archive, run_dir: Path, title: str) -> list[Path]:
    """Draw both pictures into `run_dir`; return their paths."""
    title = caption(title)
    return [
        _best_so_far(archive, run_dir / "best_so_far.png", title),
        _against_cost(archive, run_dir / "accuracy_cost.png", title),
    ]


def _best_so_far(archive: Archive, path: Path, title: str) -> Path:
    records = archive.evaluated()
    scores = [archive.score(r) for r in records]
    feasible = [s if r.verdict == "feasible" else 0.0 for r, s in zip(records, scores, strict=True)]
    steps = range(1, len(records) + 1)
    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(
        title=title, xlabel="evaluations", ylabel=f"{in_words(archive.objective)} (%)"
    )
    best = list(accumulate(feasible, max))
    axes.step(steps, best, where="post", color=BLUE, label="best so far")
    axes.scatter(steps, scores, s=12, color=GREY, alpha=0.6, label="candidates")
    axes.set_ylim(_focus(scores, best))
    legend_below(figure)
    return _save(figure, path)


def _against_cost(archive: Archive, path: Path, title: str) -> Path:
    records = archive.evaluated()
    cost = next(name for name in records[0].metrics if name != archive.objective)
    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(
        title=title,
        xlabel=caption(f"{in_words(cost)} (millions)"),
        ylabel=f"{in_words(archive.objective)} (%)",
    )
    for verdict, color, label in [
        ("feasible", BLUE, "within the limits"),
        ("infeasible", GREY, "over the limits"),
    ]:
        chosen = [r for r in records if r.verdict == verdict]
        if chosen:
            xs = [r.metrics[cost] / 1e6 for r in chosen]
            axes.scatter(xs, [archive.score(r) for r in chosen], s=14, color=color, label=label)
    if ranking := ranked(records, archive.objective):
        best = ranking[0]
        x, y = best.metrics[cost] / 1e6, archive.score(best)
        axes.scatter([x], [y], s=90, marker="*", color=RED, label="best", zorder=3)
    scores = [archive.score(r) for r in records]
    axes.set_ylim(_focus(scores, scores))
    legend_below(figure)
    return _save(figure, path)


def _focus(scores: list[float], best: list[float]) -> tuple[float, float]:
    """Show the upper half of the candidates: failures would flatten everything else."""
    ranked = sorted(scores)
    low, high = min(ranked[len(ranked) // 4], best[-1]), ranked[-1]
    margin = max(0.1 * (high - low), 0.1)
    return low - margin, high + margin


def in_words(metric: str) -> str:
    """Write the name of a metric for people, e.g. `validation accuracy`."""
    words = {"val": "validation", "macs": "multiply-adds", "params": "parameters"}
    return " ".join(words.get(part, part) for part in metric.split("_"))


def legend_below(figure: Figure) -> None:
    """Explain what is drawn beside the axes, never over the points."""
    figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_figure(path, dpi=110)
    return path
