"""What a search strategy is: a function from the history to the next batch of candidates."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive


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


def round_rng(seed: int, archive: Archive) -> random.Random:
    """Return the random generator of the next round: the same one whenever it is asked again."""
    return random.Random(f"{seed}/{len(archive.rounds)}")
