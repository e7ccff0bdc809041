"""What a persona is: a function from a question to an answer, with fixed rules and no memory.

Personas stand in for language models where none may be needed: in tests, demonstrations and
development. They are given what a real model is given, the messages and perhaps a JSON schema,
and besides that the search space, because rules cannot understand a prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from collm_nas.core.architecture import Architecture
from collm_nas.llm.base import JSON, Message

DEFAULT_COUNT = 8  # architectures, where the question names no number
MAX_COUNT = 200
ROLES = re.compile(r"Navigator|Generator")
ASKED = re.compile(
    r"\b(?:write|generate)\b[^\d.\n]{0,40}?(\d{1,3})(?:\s*(?:-|–|to)\s*(\d{1,3}))?\b", re.I
)


class Space(Protocol):
    """What personas need of a search space; every `SearchSpace` has it."""

    @property
    def name(self) -> str:
        """Name the space."""

    @property
    def variables(self) -> Sequence[Any]:
        """List the decisions, each with `name`, `options` and `count`."""

    @property
    def vocabulary(self) -> Mapping[str, Any]:
        """Map each variable to the word that a language model reads and writes for it."""

    def sample(self, rng: random.Random) -> Architecture:
        """Draw an architecture uniformly."""

    def mutate(self, arch: Architecture, rng: random.Random, rate: float) -> Architecture:
        """Redraw each gene with probability `rate`."""

    def encode(self, arch: Architecture) -> Any:
        """Write an architecture as JSON."""

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes, or raise InvalidArchitecture."""


@dataclass(frozen=True)
class Question:
    """What a persona is asked. Its random draws come from `rng`, and from nothing else.

    `schema` is the JSON schema of the answer, if it must have one; `json_only` says that nothing
    may stand around the JSON.
    """

    space: Space
    messages: Sequence[Message]
    rng: random.Random
    schema: JSON | None = None
    json_only: bool = False

    @property
    def for_navigator(self) -> bool:
        """Tell whether a strategy is asked for, and not architectures: by who is named first."""
        system = next((m.content for m in self.messages if m.role == "system"), "")
        first = ROLES.search(system[:200])
        return first is not None and first[0] == "Navigator"

    @property
    def task(self) -> str:
        """Return the last message of the user."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @cached_property
    def count(self) -> int:
        """Return how many architectures are asked for: the last "Write 8" or "Generate 10-20"."""
        low, high = (ASKED.findall(self.task) or [(str(DEFAULT_COUNT), "")])[-1]
        ends = sorted((int(low), int(high or low)))
        return min(MAX_COUNT, max(1, self.rng.randint(*ends)))


@dataclass(frozen=True)
class Answer:
    """What a persona says."""

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    refused: bool = False  # `text` says why nothing is answered


Persona = Callable[[Question], Answer]
