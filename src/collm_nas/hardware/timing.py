"""How long a call takes, on a machine that does other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Annotated

from annotated_types import Ge, Le

from collm_nas.core.arguments import checked

Warmup = Annotated[int, Ge(0), Le(10_000)]
Repeats = Annotated[int, Ge(2), Le(10_000)]
MinimumMs = Annotated[float, Ge(0), Le(60_000)]


@checked
@dataclass(frozen=True)
class Repetitions:
    """How thoroughly is timed.

    Args:
        warmup: calls before anything counts.
        repeats: samples of each call.
        minimum_ms: how long a sample lasts at least; a fast call is repeated within it.

    Raises:
        ValueError: a number is too small.
    """

    warmup: Warmup
    repeats: Repeats
    minimum_ms: MinimumMs


@dataclass(frozen=True)
class Timing:
    """What a call took, over all samples."""

    median_ms: float
    iqr_ms: float  # between the first and the third quartile
    samples: int


def time_calls(calls: Sequence[Callable[[], object]], repetitions: Repetitions) -> list[Timing]:
    """Time some calls in turn, sample by sample, so that a slow moment hits all of them alike.

    A call must return when its work is done: on a GPU it has to wait for it.
    """
    counts = []
    for call in calls:
        for _ in range(repetitions.warmup):
            call()
        counts.append(max(1, round(repetitions.minimum_ms / max(_ms(call, 1), 1e-6))))
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(repetitions.repeats):
        for call, count, found in zip(calls, counts, samples, strict=True):
            found.append(_ms(call, count) / count)
    quartiles = [quantiles(found, n=4, method="inclusive") for found in samples]
    return [
        Timing(median(found), third - first, len(found))
        for found, (first, _, third) in zip(samples, quartiles, strict=True)
    ]


def _ms(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return 1000 * (time.perf_counter() - start)
