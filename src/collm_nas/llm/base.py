"""What a chat model is: messages in, one reply out. Everything else wraps this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

JSON = Mapping[str, Any]

SCRIPTED = "scripted"  # what the names of stand-ins begin with, in requests and in answers
PURPOSE_HEADER = "X-Purpose"  # what a call is for; real servers ignore it, fake ones need it


@dataclass(frozen=True)
class Message:
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them; `reasoning` is a part of `output`, `cached` of `input`.

    `estimated` tells that it did not count all of them; see `collm_nas.llm.counting`.
    """

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cached: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer and all that is known of how it came about."""

    text: str  # without reasoning
    reasoning: str = ""
    finish_reason: str = ""  # as the server said: "stop", "length" …; "refusal" if it refused
    model: str = ""  # as served, which need not be what was asked for
    usage: Usage = field(default_factory=Usage)
    attempts: int = 1  # requests sent, failed ones included
    fingerprint: str = ""  # the server's system_fingerprint, if it has one
    sent: JSON = field(default_factory=dict)  # parameters as sent: seed, response format …
    seed_honoured: Literal["yes", "no", "unknown"] = "unknown"  # "no" also if none was sent
    cost_usd: float | None = 0.0  # None: the price is not known
    price_source: str = ""
    unread: str = ""  # JSON of parts of the answer of a kind that is not known
    failures: list[str] = field(default_factory=list)  # of the attempts before this one


class ChatModel(Protocol):
    """Answers one request.

    `name` is shown in every output. `is_language_model` is False for scripted and rule-based
    stand-ins, so that they are labelled wherever their results appear. `settings` is everything
    that an answer depends on besides the messages, and no secret; the ledger stores it and
    recognises calls by it.
    """

    name: str
    is_language_model: bool
    settings: JSON

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """Answer `messages`.

        Args:
            purpose: names the call, e.g. "navigator/3": role, round and, if any, sample.
            schema: the JSON schema that the answer must have, if the server can be held to one.

        Raises:
            LLMUnavailable: no answer is to be had now; running again may help.
        """


class LLMUnavailable(RuntimeError):
    """A model did not answer. The search stops, resumable; the message says what to do."""


class ContextFull(LLMUnavailable):
    """What is asked, with the room for an answer, is more than the model reads at once."""


class CapReached(RuntimeError):
    """The next call would spend more than the user allowed. The search stops, resumable."""
