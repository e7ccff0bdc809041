"""The outcome of a search for a trade-off: its front, and one number that says how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collm_nas.core.archive import Archive, Record
from collm_nas.core.printable import caption
from collm_nas.core.problem import Problem, amount

PERFECT = 100.0  # percent


def hypervolume(records: Sequence[Record], problem: Problem) -> float:
    """Return how much of what could be better than the reference point is covered, 0 to 1.

    The box lies between the reference point (`problem.reference`) and the ideal: an objective of
    100 percent at no cost. A point covers all that is worse than it in everything (Zitzler &
    Thiele, 1999, https://doi.org/10.1109/4235.797969); beyond the reference point it covers
    nothing.
    """
    import numpy as np
    from pymoo.indicators.hv import Hypervolume

    if not records:
        return 0.0
    worst = problem.reference[problem.objective]
    points = [
        [
            (PERFECT - r.metrics[problem.objective]) / (PERFECT - worst),
            *(r.metrics[cost] / problem.reference[cost] for cost in problem.minimised),
        ]
        for r in records
    ]
    return float(Hypervolume(ref_point=np.ones(len(points[0])))(np.array(points)))


def outcome(problem: Problem, archive: Archive) -> dict[str, Any]:
    """Return the entries of `result.json`; none for a search with a single objective."""
    if not problem.minimised:
        return {}
    front = archive.front(problem.minimised)
    return {
        "front": [
            {
                "key": problem.space.key(r.arch),
                "architecture": r.arch.to_json(),
                "metrics": dict(r.metrics),
            }
            for r in front
            if r.arch
        ],
        "hypervolume": round(hypervolume(front, problem), 6),
        "reference": dict(problem.reference),
    }


def rows(result: Mapping[str, Any], most: int = 12) -> list[tuple[str, str]]:
    """Return the lines of the console's table; a long front is thinned out evenly."""
    front, reference = result["front"], result["reference"]
    step = max(1, -(-len(front) // most))
    lines = [
        f"{p['key']}: " + ", ".join(f"{name} {amount(p['metrics'][name])}" for name in reference)
        for p in front[::step]
    ]
    point = ", ".join(f"{name} {amount(value)}" for name, value in reference.items())
    shown = f", {len(lines)} shown" if step > 1 else ""
    return [
        (f"front of {len(front)}{shown}", "\n".join(lines) or "empty"),
        ("hypervolume", f"{result['hypervolume']:.4f} of the box from {point} to the ideal"),
    ]


def draw(problem: Problem, archive: Archive, path: Path, title: str) -> Path:
    """Draw all candidates and the front, objective against the first cost; return `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from collm_nas.report.pictures import BLUE, GREY, RED, SIZE, in_words, legend_below

    cost = problem.minimised[0]
    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(
        title=caption(title),
        xlabel=caption(in_words(cost)),
        ylabel=f"{in_words(problem.objective)} (%)",
    )
    for records, size, color, label in [
        (archive.evaluated(), 10, GREY, "candidates"),
        (archive.front(problem.minimised), 26, BLUE, "front"),
    ]:
        xs = [r.metrics[cost] for r in records]
        axes.scatter(xs, [archive.score(r) for r in records], s=size, color=color, label=label)
    point = problem.reference[cost], problem.reference[problem.objective]
    axes.scatter(*point, marker="x", color=RED, label="reference point")
    axes.set_ylim(bottom=point[1] - 1)
    axes.set_xlim(0, 1.05 * point[0])
    legend_below(figure)
    FigureCanvasAgg(figure).print_figure(path, dpi=110)
    return path
