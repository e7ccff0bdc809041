"""How sure an accuracy is that was counted on a few images, and which ones it tells apart.

Intervals are Wilson's (1927, https://doi.org/10.1080/01621459.1927.10502953). Two accuracies are
told apart by Newcombe's interval of their difference, which is made of Wilson's (1998, method 10,
https://pubmed.ncbi.nlm.nih.gov/9595617), as if each were counted on images of its own. Subnets are
measured on the same images and err on the same ones: they are told apart too rarely, if anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import hypot

LEVEL = 95  # percent
NEAR = 0.05  # of the way from guessing to always being right


def interval(percent: float, images: int) -> tuple[float, float]:
    """Return the ends of the interval in percent, of an accuracy counted on `images`."""
    from scipy.stats import binomtest

    hits = min(images, max(0, round(percent * images / 100)))  # a mean over seeds is no whole count
    found = binomtest(hits, images).proportion_ci(LEVEL / 100, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def distinguishable(one: float, other: float, images: int) -> bool:
    """Tell whether two accuracies in percent differ by more than `images` leave open."""
    high, low = max(one, other), min(one, other)
    lower, upper = interval(high, images)[0], interval(low, images)[1]
    return high - low > hypot(high - lower, upper - low)


def near_chance(percents: Iterable[float], images: int, classes: int) -> str:
    """Say that the best of reference subnets hardly does better than guessing; empty if it does.

    Rankings by such weights are rankings of noise.
    """
    best, chance = max(percents), 100 / classes
    low, _ = interval(best, images)
    if low > chance + NEAR * (100 - chance):
        return ""
    return (
        f"NEAR CHANCE: the best of the reference subnets has {written(best, images)}% on "
        f"{images:,} images, and guessing has {chance:.3g}%: what these weights rank is noise. "
        "Train longer, or see that pixels and classes are those of the weights"
    )


def written(percent: float, images: int | None, spread: str = "") -> str:
    """Write an accuracy with its interval, e.g. `95.83 ± 0.20 [90.6, 98.2]`.

    Args:
        images: that it was counted on; without any there is no interval.
        spread: what stands between the two.
    """
    if not images:
        return f"{percent:.2f}{spread}"
    low, high = interval(percent, images)
    return f"{percent:.2f}{spread} [{low:.1f}, {high:.1f}]"
