"""Candidates that were not proposed before, so that no round of a search is wasted on repeats.

Every strategy that is not a language model draws through here: repeats and candidates over the
limits are drawn again, a bounded number of times, and what a rule cannot find is sampled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem

ATTEMPTS = 100
SMALL = 20_000  # architectures; a space up to this size can be listed as a whole

Draw = Callable[[random.Random], Architecture]


def known(archive: Archive) -> set[Architecture]:
    """Return all architectures that `archive` has a verdict on."""
    return {r.arch for r in archive.records() if r.arch is not None and r.verdict != "skipped"}


def untried(
    problem: Problem, archive: Archive, rng: random.Random, draws: Iterable[Draw]
) -> list[Architecture]:
    """Draw one new architecture within the limits with each of `draws`.

    Where a draw yields none it is a uniform sample instead. The list is shorter than `draws` only
    if nothing new is left (or, in a space too large to list, if next to nothing is).

    Raises:
        NothingFeasible: no architecture within the limits was found, new or not.
    """
    taken = known(archive)
    found: list[Architecture] = []
    for draw in draws:
        arch = (
            _new(problem, taken, rng, draw)
            or _new(problem, taken, rng, problem.sample)
            or _one_of_the_rest(problem, taken, rng)
        )
        if arch is None:
            break
        taken.add(arch)
        found.append(arch)
    return found


def _new(
    problem: Problem, taken: Collection[Architecture], rng: random.Random, draw: Draw
) -> Architecture | None:
    candidates = (draw(rng) for _ in range(ATTEMPTS))
    return next((a for a in candidates if a not in taken and problem.is_feasible(a)), None)


def _one_of_the_rest(
    problem: Problem, taken: Collection[Architecture], rng: random.Random
) -> Architecture | None:
    if problem.space.size() > SMALL:
        return None
    rest = [a for a in problem.space.architectures() if a not in taken and problem.is_feasible(a)]
    return rng.choice(rest) if rest else None
