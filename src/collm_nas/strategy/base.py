"""What a search strategy is: a function from the history to the next batch of candidates."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from collm_nas.architecture import Architecture, InvalidArchitecture
from collm_nas.archive import Archive
from collm_nas.problem import Problem


@dataclass(frozen=True)
class Proposal:
    """A candidate: an architecture, or the text an LLM wrote and why it is not one."""

    candidate: Architecture | InvalidArchitecture
    text: str = ""


@dataclass(frozen=True)
class Batch:
    """The candidates of one round, and the strategy's memo about them."""

    proposals: list[Proposal]
    note: str = ""

    @classmethod
    def of(cls, *archs: Architecture) -> Batch:
        """Propose architectures that no LLM wrote."""
        return cls([Proposal(arch) for arch in archs])


class SearchStrategy(Protocol):
    """Proposes candidates.

    `propose` must depend on nothing but the constructor's arguments and `archive`: no hidden
    state, and randomness only from `round_rng`. That is what makes a search resumable.
    """

    def propose(self, archive: Archive) -> Batch:
        """Return the candidates of the next round."""


def known(archive: Archive) -> set[Architecture]:
    """Return everything that was proposed and judged: proposing it again would be a duplicate."""
    return {r.arch for r in archive.records() if r.arch and r.verdict != "skipped"}


def new_sample(
    problem: Problem, rng: random.Random, avoid: Collection[Architecture], attempts: int = 100
) -> Architecture:
    """Draw within the limits what is not in `avoid`; where all seems known, something known."""
    arch = problem.sample(rng)
    for _ in range(attempts):
        if arch not in avoid:
            break
        arch = problem.sample(rng)
    return arch


def new_neighbours(
    problem: Problem, arch: Architecture, avoid: Collection[Architecture]
) -> list[Architecture]:
    """List the neighbours of `arch` within the limits that are not in `avoid`."""
    near = problem.space.neighbours(arch)
    return [n for n in near if n not in avoid and problem.is_feasible(n)]


def round_rng(seed: int, archive: Archive) -> random.Random:
    """Return the random generator of the next round: the same one whenever it is asked again."""
    return random.Random(f"{seed}/{len(archive.rounds)}")
