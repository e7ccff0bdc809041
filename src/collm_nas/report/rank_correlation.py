"""Whether a supernet ranks its subnets as they would rank if each were trained on its own.

The rank correlation is what the literature reports (Yu et al., 2020,
https://arxiv.org/abs/1902.08142), as Kendall's tau-b. With few subnets it is uncertain, so that
it has a bootstrap interval beside it, over the subnets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import bootstrap, kendalltau, spearmanr

from collm_nas.report.uncertainty import distinguishable, interval

BLUE, RED, GREY = "#1f5fa8", "#c8102e", "#8a8f98"
RESAMPLES = 2000
LEVEL = 95  # percent


@dataclass(frozen=True)
class Agreement:
    """How alike two rankings of the same subnets are; nan where one of them is all ties."""

    subnets: int
    tau: float
    tau_low: float
    tau_high: float
    spearman: float
    top: int  # how many count as the top
    top_overlap: int  # how many of these are in the top of both

    def __str__(self) -> str:
        return (
            f"Kendall tau {self.tau:.2f} ({LEVEL}% interval {self.tau_low:.2f} to "
            f"{self.tau_high:.2f}), Spearman {self.spearman:.2f}, {self.top_overlap} of the best "
            f"{self.top} in common; {self.subnets} subnets"
        )


@dataclass(frozen=True)
class Calibration:
    """What a number of calibration images does."""

    images: int
    mean_accuracy: float
    tau: float  # against the largest number of images


@dataclass(frozen=True)
class RankCorrelationReport:
    """The report: one entry for each subnet, and what follows from them."""

    macs: tuple[float, ...]
    inherited: tuple[float, ...]  # accuracies in percent
    alone: tuple[float, ...]  # of the same subnets trained on their own; empty if none were
    calibration: tuple[Calibration, ...]
    agreement: Agreement | None
    against_cost: Agreement  # of inherited accuracy and multiply-adds
    images: int  # that accuracies with inherited weights were counted on

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """The intervals of the accuracies with inherited weights."""
        return [interval(accuracy, self.images) for accuracy in self.inherited]

    def cautions(self) -> list[str]:
        """Say what the accuracies with inherited weights are too uncertain for."""
        lines = []
        best = max(self.inherited)
        same = sum(not distinguishable(best, a, self.images) for a in self.inherited)
        if same > 1:
            lines.append(
                f"These {same} of {len(self.inherited)} cannot be told apart from the best by "
                f"{self.images:,} images."
            )
        return lines


def agreement(one: Sequence[float], other: Sequence[float], seed: int = 0) -> Agreement:
    """Compare two rankings; the top are the best third.

    Raises:
        ValueError: there are fewer than three subnets.
    """
    if len(one) != len(other) or len(one) < 3:
        raise ValueError(f"a rank correlation needs three subnets or more, got {len(one)}")
    a, b = np.asarray(one, float), np.asarray(other, float)
    rng = np.random.default_rng(seed)
    how: Any = {"vectorized": False, "n_resamples": RESAMPLES, "method": "percentile", "rng": rng}
    rest = (100 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may hold one subnet only, which has no tau
        draws = bootstrap((a, b), tau, paired=True, **how).bootstrap_distribution
        low, high = np.nanpercentile(draws, [rest, 100 - rest])
    top = max(1, round(len(a) / 3))
    best = [{*np.argsort(-values, kind="stable")[:top].tolist()} for values in (a, b)]
    return Agreement(
        len(a), tau(a, b), float(low), float(high), _spearman(a, b), top, len(best[0] & best[1])
    )


def tau(a: Sequence[float] | Any, b: Sequence[float] | Any) -> float:
    """Return Kendall's tau-b; nan if all values of one are equal."""
    return float(kendalltau(a, b).statistic)


def draw(report: RankCorrelationReport, path: Path, title: str) -> Path:
    """Draw a panel each for agreement (if it was measured), cost, and calibration."""
    panels = (
        [_cost, _calibration] if report.agreement is None else [_agreement, _cost, _calibration]
    )
    figure = Figure((4.6 * len(panels), 4.2), layout="constrained")
    figure.suptitle(title)
    for index, panel in enumerate(panels, start=1):
        panel(figure.add_subplot(1, len(panels), index), report)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
    return path


def _spearman(a: Any, b: Any) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")  # scipy would warn of it
    return float(spearmanr(a, b).statistic)


def _agreement(axes: Any, report: RankCorrelationReport) -> None:
    assert report.agreement is not None
    _with_intervals(axes, report.alone, report)
    found = report.agreement
    axes.set(
        title=f"tau {found.tau:.2f} [{found.tau_low:.2f}, {found.tau_high:.2f}], "
        f"Spearman {found.spearman:.2f}",
        xlabel="trained on its own (%)",
        ylabel="inherited weights (%)",
    )


def _cost(axes: Any, report: RankCorrelationReport) -> None:
    millions = [m / 1e6 for m in report.macs]
    _with_intervals(axes, millions, report)
    if report.alone:
        axes.scatter(millions, report.alone, s=22, color=RED, label="trained alone")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.32), ncols=2, frameon=False)
    axes.set(
        title=f"tau with cost {report.against_cost.tau:.2f}",
        xlabel="multiply-adds (millions)",
        ylabel="accuracy (%)",
    )


def _with_intervals(axes: Any, across: Sequence[float], report: RankCorrelationReport) -> None:
    """Draw accuracies with inherited weights, each with its interval."""
    low, high = zip(*report.intervals, strict=True)
    below = np.maximum(0, np.subtract(report.inherited, low))
    above = np.maximum(0, np.subtract(high, report.inherited))
    axes.errorbar(
        across,
        report.inherited,
        (below, above),
        fmt="o",
        markersize=4,
        elinewidth=0.6,
        color=BLUE,
        label="inherited weights",
    )


def _calibration(axes: Any, report: RankCorrelationReport) -> None:
    images = [c.images for c in report.calibration]
    axes.set(title="calibration of batch norms")
    if not images:
        axes.text(0.5, 0.5, "no batch norms", ha="center", color=GREY)
        return
    axes.plot(images, [c.mean_accuracy for c in report.calibration], "o-", color=BLUE)
    axes.set(xscale="log", xlabel="images", ylabel="mean accuracy (%)")
    other = axes.twinx()
    other.plot(images, [c.tau for c in report.calibration], "s--", color=GREY)
    other.set(ylabel=f"tau against {images[-1]:,} images", ylim=(None, 1.05))
