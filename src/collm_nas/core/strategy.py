"""What a search strategy is: a function from the history to the next batch of candidates."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive, Round


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


State = TypeVar("State")


class Fold(Generic[State]):
    """What follows from an archive round by round, e.g. a policy after all its updates.

    It remembers the archive that it was asked of last, and goes only through what that one gained
    since: a shortcut that no answer depends on.

    Args:
        start: before the first round.
        step: from one round to the next; it returns a new state and leaves the old one as it is.
    """

    def __init__(self, start: State, step: Callable[[State, Round], State]) -> None:
        self._start = start
        self._step = step
        self._archive: Archive | None = None
        self._state = start
        self._rounds = 0

    def __call__(self, archive: Archive) -> State:
        """Return the state after the last round of `archive`."""
        if archive is not self._archive:
            self._archive, self._state, self._rounds = archive, self._start, 0
        for round_ in archive.rounds[self._rounds :]:
            self._state, self._rounds = self._step(self._state, round_), self._rounds + 1
        return self._state


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
