"""What a persona is asked.

It is given what a language model is given, the messages and perhaps a JSON schema, and besides,
as rules do not understand prompts, the search space in the words of the prompt, and the purpose
of the call.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from collm_nas.core.architecture import Architecture
from collm_nas.llm.base import JSON, Message, Reply
from collm_nas.llm.ledger import role_of
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.reading import WRAPPER
from collm_nas.spaces.base import SearchSpace

DEFAULT_COUNT = 8  # architectures, where the question names no number
MAX_COUNT = 200
ASKED = re.compile(
    r"\b(?:write|generate)\b[^\d.\n]{0,40}?(\d{1,3})(?:\s*(?:-|–|to)\s*(\d{1,3}))?\b", re.I
)


@dataclass(frozen=True)
class Question:
    """A question. The random draws of an answer come from `rng`, and from nothing else.

    `purpose` is that of `ChatModel.complete`, e.g. "navigator/3". `schema` is the JSON schema of
    the answer, if it must have one; `json_only` says that nothing may stand around the JSON.
    """

    dialect: Dialect
    purpose: str
    messages: Sequence[Message]
    rng: random.Random
    schema: JSON | None = None
    json_only: bool = False

    @property
    def space(self) -> SearchSpace:
        """Return the search space."""
        return self.dialect.space

    @property
    def for_navigator(self) -> bool:
        """Tell whether a strategy is asked for; every other role writes architectures."""
        return role_of(self.purpose) == "navigator"

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

    @property
    def item_schema(self) -> JSON:
        """Return what the schema demands of one architecture; empty if there is none."""
        listed = (self.schema or {}).get("properties", {}).get(WRAPPER)
        return listed["items"] if listed else self.schema or {}

    def spell(self, arch: Architecture) -> str:
        """Write one architecture as JSON."""
        return json.dumps(self.dialect.encode(arch))

    def write(self, architectures: Sequence[str]) -> str:
        """Put architectures, written as JSON or what should be, into one answer.

        One that is asked for alone stands alone; prose stands around JSON unless it must not.
        """
        alone = self.count == 1 if self.schema is None else self.item_schema is self.schema
        listed = f'{{"{WRAPPER}": [\n' + ",\n".join(architectures) + "\n]}"
        block = architectures[0] if alone else listed
        return block if self.json_only else f"These follow the strategy:\n\n```json\n{block}\n```\n"


Persona = Callable[[Question], Reply]  # fixed rules without memory, in a language model's place
