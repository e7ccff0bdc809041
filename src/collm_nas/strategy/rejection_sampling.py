"""Candidates that were not proposed before, so that no round of a search is wasted on repeats.

Every strategy that is not a language model draws through here: repeats and candidates over the
limits are drawn again, a bounded number of times, and what a rule cannot find is sampled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem

ATTEMPTS = 100
SMALL = 20_000  # architectures; a space up to this size can be listed as a whole

Draw = Callable[[random.Random], Architecture]


def rejection_sample(
    problem: Problem, archive: Archive, rng: random.Random, draws: Iterable[Draw]
) -> list[Architecture]:
    """Draw one new architecture within the limits with each of `draws`.

    Where a draw yields none it is a uniform sample instead. The list is shorter than `draws` only
    if nothing new is left (or, in a space too large to list, if next to nothing is).

    Raises:
        NothingFeasible: no architecture within the limits was found, new or not.
    """
    found: dict[Architecture, None] = {}

    def is_new(arch: Architecture) -> bool:
        return arch not in archive.seen and arch not in found and problem.is_feasible(arch)

    for draw in draws:
        candidates = (d(rng) for d in (draw, problem.sample) for _ in range(ATTEMPTS))
        arch = next(filter(is_new, candidates), None)
        if arch is None and problem.space.size() <= SMALL:
            rest = [arch for arch in problem.space.architectures() if is_new(arch)]
            arch = rng.choice(rest) if rest else None
        if arch is None:
            break
        found[arch] = None
    return list(found)
