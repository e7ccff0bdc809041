"""How a language model is asked for architectures: many in one answer, or one per call.

Strong models write a whole batch at once, as in the paper. Small ones repeat themselves in a long
answer and follow the order in which the choices are told: they are asked for one at a time, in an
order of each round's own, and held by a grammar to the format and to what is not known yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

from annotated_types import Ge, Le
from pydantic import AfterValidator
from typing_extensions import TypedDict

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.ranges import CountOrZero
from collm_nas.core.strategy import Proposal
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy import telling
from collm_nas.strategy.reading import WRAPPER, contains_objects, read_proposals

# (the space as it is told, the request that ends the prompt) -> messages
Prompt = Callable[[SearchSpace, str], list[Message]]


def _range(text: str) -> str:
    low, _, high = text.partition("-")
    if not re.fullmatch(r"[1-9]\d{0,2}(-[1-9]\d{0,2})?", text) or int(low) > int(high or low):
        raise ValueError(f"must be a number or a range like 10-20, got {text!r}")
    return text


Candidates = Annotated[int, Ge(1), Le(999)] | Annotated[str, AfterValidator(_range)]


class Manner(TypedDict):
    """The part of how a model is asked that depends on the model; see `Asking`."""

    one_by_one: NotRequired[bool]
    examples: NotRequired[CountOrZero]


@dataclass(frozen=True)
class Asking:
    """How `model` is asked.

    Args:
        candidates: how many architectures a round asks for, "8" or a range as in "10-20".
        one_by_one: ask for one architecture per call (for the lower end of a range).
        examples: how many of the best architectures so far the prompt shows. The paper shows
            none: the strategy is all that its Generator sees.
    """

    model: ChatModel
    seed: int
    candidates: Candidates
    one_by_one: bool = False
    examples: int = 0

    def ask(
        self, space: SearchSpace, archive: Archive, prompt: Prompt, purpose: str
    ) -> list[Proposal]:
        """Return what the model proposes; `purpose` names the calls in the ledger."""
        if self.one_by_one:
            return self._ask_one_by_one(space, archive, prompt, purpose)
        return self._ask_at_once(space, prompt, purpose)

    def _ask_at_once(self, space: SearchSpace, prompt: Prompt, purpose: str) -> list[Proposal]:
        """Read one answer; an answer without any JSON object is asked for once more."""
        request = telling.render("request_batch", count=self.candidates)
        messages, schema = prompt(space, request), batch_schema(space)
        reply = self.model.complete(messages, purpose=purpose, schema=schema)
        if not contains_objects(reply):
            reply = self.model.complete(messages, purpose=f"{purpose}/retry", schema=schema)
        return read_proposals(reply, space)

    def _ask_one_by_one(
        self, space: SearchSpace, archive: Archive, prompt: Prompt, purpose: str
    ) -> list[Proposal]:
        """Make one call per architecture, held by a grammar to what is new.

        The calls of a round share one prompt, which a local engine then reads only once. The
        first round has no results to vary, so there each call has an order of its own instead.
        """
        known = [r.arch for r in archive.records() if r.arch]
        request = telling.render("request_one")
        proposals: list[Proposal] = []
        for i in range(int(str(self.candidates).partition("-")[0])):
            order = purpose if archive.evaluated() else f"{purpose}/{i}"
            told = space.retold(f"{self.seed}/{order}")
            messages, schema = prompt(told, request), told.schema(exclude=known)
            reply = self.model.complete(messages, purpose=f"{purpose}/{i}", schema=schema)
            for proposal in read_proposals(reply, told):
                proposals.append(proposal)
                if isinstance(proposal.candidate, Architecture):
                    known.append(proposal.candidate)
        return proposals


def batch_schema(space: SearchSpace) -> dict[str, Any]:
    """Return the JSON schema of an answer that holds several architectures."""
    return {
        "type": "object",
        "properties": {WRAPPER: {"type": "array", "items": space.schema()}},
        "required": [WRAPPER],
        "additionalProperties": False,
    }
