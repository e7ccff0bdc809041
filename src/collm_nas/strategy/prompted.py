"""What strategies that ask a language model for architectures share.

Strong models write a whole batch at once, as in the paper. Small ones repeat themselves in a long
answer and follow the order in which the choices are told: they are asked for one at a time, in an
order of each round's own, and held by a grammar to the format and to what is not known yet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MaybeInfinite, Seed
from collm_nas.core.strategy import Batch, Proposal
from collm_nas.llm.base import ChatModel, Message, Reply
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.reading import (
    MAX_READ,
    MAX_TEXT,
    batch_schema,
    contains_objects,
    read_proposals,
)
from collm_nas.prompting.settings import Prompting

PAPER = Prompting()
# (the words in which it is told, the request that ends the prompt) -> messages
Prompt = Callable[[Dialect, str], list[Message]]


def _range(text: str) -> str:
    low, _, high = text.partition("-")
    if not re.fullmatch(r"[1-9]\d{0,2}(-[1-9]\d{0,2})?", text) or int(low) > int(high or low):
        raise ValueError(f"must be a number or a range like 10-20, got {text!r}")
    return text


Candidates = Annotated[int, Ge(1), Le(999)] | Annotated[str, AfterValidator(_range)]


@checked
class Prompted:
    """Ask one model in every round, by a system and a user template.

    A strategy of this kind names its templates (there is one of each in every set of them) and
    returns what fills them beside the usual values: the best architectures and the request.

    Args:
        candidates: how many architectures a round asks for, 8 or a range as in "10-20".
        prompting: how the model is prompted. The default is the paper's way.
        target: objective that the prompts name as the goal; infinite: none is named.
    """

    system: ClassVar[str]
    user: ClassVar[str]

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        llm: ChatModel,
        candidates: Candidates,
        prompting: Prompting = PAPER,
        target: MaybeInfinite = math.inf,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.llm = llm
        self.candidates = candidates
        self.prompting = prompting
        self.target = target
        self.dialect = prompting.dialect(problem.space)

    def values(self, archive: Archive, dialect: Dialect) -> Mapping[str, object]:
        """Return what fills the templates of a round, by placeholder."""
        return {}

    def propose(self, archive: Archive) -> Batch:
        def prompt(dialect: Dialect, request: str) -> list[Message]:
            values = {
                "request": request,
                "examples": self.examples(archive, dialect),
                **self.values(archive, dialect),
            }
            return [
                self.message("system", self.system, dialect, **values),
                self.message("user", self.user, dialect, **values),
            ]

        return Batch(self.ask(archive, prompt, f"llm/{len(archive.rounds)}"))

    def message(
        self, role: Literal["system", "user"], template: str, dialect: Dialect, **values: object
    ) -> Message:
        """Fill a template: a system's with the mission and the knowledge about the space, too."""
        if role == "system":
            values["mission"] = texts.mission(self.problem, dialect, self.target)
            values["knowledge"] = texts.description(dialect)
        values["costs"] = self.problem.minimised
        return Message(role, texts.render(f"{self.prompting.prompts}/{template}", **values))

    def examples(self, archive: Archive, dialect: Dialect, rounds: int | None = None) -> list[str]:
        """Tell as many of the best architectures (of the first `rounds` rounds) as are shown."""
        return texts.examples(archive, dialect, self.prompting.examples, rounds)

    def ask(self, archive: Archive, prompt: Prompt, purpose: str) -> list[Proposal]:
        """Return what the model proposes; `purpose` names the calls in the ledger."""
        if self.prompting.one_by_one:
            return self._ask_one_by_one(archive, prompt, purpose)
        return self._ask_at_once(prompt, purpose)

    def _ask_at_once(self, prompt: Prompt, purpose: str) -> list[Proposal]:
        """Read one answer; an answer without any JSON object is asked for once more."""
        request = texts.render("request_batch", count=self.candidates)
        messages, schema = prompt(self.dialect, request), batch_schema(self.dialect)
        reply = self.llm.complete(messages, purpose=purpose, schema=schema)
        if not contains_objects(reply.text):
            reply = self.llm.complete(messages, purpose=f"{purpose}/retry", schema=schema)
        return proposals_of(reply, self.dialect)

    def _ask_one_by_one(self, archive: Archive, prompt: Prompt, purpose: str) -> list[Proposal]:
        """Make one call per architecture (for the lower end of a range), held to what is new.

        The calls of a round share one prompt, which a local engine then reads only once. The
        first round has no results to vary, so there each call has an order of its own instead.
        """
        known = [r.arch for r in archive.records() if r.arch]
        request = texts.render("request_one")
        proposals: list[Proposal] = []
        for i in range(int(str(self.candidates).partition("-")[0])):
            order = purpose if archive.evaluated() else f"{purpose}/{i}"
            dialect = self.dialect.reordered(f"{self.seed}/{order}")
            messages, schema = prompt(dialect, request), dialect.schema(exclude=known)
            reply = self.llm.complete(messages, purpose=f"{purpose}/{i}", schema=schema)
            for proposal in proposals_of(reply, dialect):
                proposals.append(proposal)
                if isinstance(proposal.candidate, Architecture):
                    known.append(proposal.candidate)
        return proposals


def proposals_of(reply: Reply, dialect: Dialect) -> list[Proposal]:
    """Read an answer; where it holds nothing, one invalid proposal says why."""
    found = read_proposals(reply.text, dialect)
    return found or [Proposal(InvalidArchitecture(_why_nothing(reply)), reply.text[:MAX_TEXT])]


def _why_nothing(reply: Reply) -> str:
    """Say why there is nothing to read, and what the answer looks like instead."""
    if not reply.text.strip():
        return _why_empty(reply)
    if reply.finish_reason == "length":
        return "the answer was cut off at the token limit before it held a whole JSON object"
    if len(reply.text) > MAX_READ:
        return f"the first {MAX_READ:,} of {len(reply.text):,} characters hold no whole JSON object"
    return "the answer contains no JSON object"


def _why_empty(reply: Reply) -> str:
    cause = f" (finish reason: {reply.finish_reason})" if reply.finish_reason else ""
    if reply.unread:
        return f"the answer is of a kind that is not read: {reply.unread[:200]}"
    if reply.finish_reason == "content_filter" and reply.failures:
        return f"the answer is empty{cause}: {reply.failures[-1]}"
    if not reply.reasoning:
        return f"the answer is empty{cause}"
    count = f"{len(reply.reasoning):,}"
    if reply.finish_reason == "length":
        return f"the token limit ended the answer after {count} characters of reasoning"
    return (
        f"all {count} characters of the answer are in the reasoning, which is not read: is the "
        "server's reasoning parser right for this model? If they are the answer: "
        "llm.model.answer_in=reasoning"
    )
