"""The ledger: every call of a language model, whole, in one append-only file.

A call that is in it is answered from it, so a search that continues pays nothing twice. It is
also the record that others can audit and replay: full messages and answers, reasoning, the
parameters as sent, the model as served, tokens, attempts, seconds and US dollars.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Annotated, Any, Literal, NotRequired, cast

from annotated_types import Ge, Le
from typing_extensions import TypedDict

from collm_nas.core.arguments import checked
from collm_nas.core.files import Journal
from collm_nas.core.printable import sendable
from collm_nas.core.ranges import CountOrZero, NotNegative
from collm_nas.llm.base import JSON, SCRIPTED, CapReached, ChatModel, Message, Reply, Usage


class MessageLine(TypedDict):
    """A `Message` in the file."""

    role: Literal["system", "user", "assistant"]
    content: str


class UsageLine(TypedDict, total=False):
    """A `Usage` in the file."""

    input: int
    output: int
    reasoning: int
    cached: int
    estimated: bool


class ReplyLine(TypedDict):
    """A `Reply` in the file."""

    text: str
    usage: UsageLine
    reasoning: NotRequired[str]
    finish_reason: NotRequired[str]
    model: NotRequired[str]
    attempts: NotRequired[int]
    fingerprint: NotRequired[str]
    sent: NotRequired[dict[str, Any]]
    seed_honoured: NotRequired[Literal["yes", "no", "unknown"]]
    cost_usd: NotRequired[float | None]
    price_source: NotRequired[str]
    unread: NotRequired[str]
    failures: NotRequired[list[str]]


class CallLine(TypedDict):
    """A call in the file."""

    key: str
    purpose: str
    role: NotRequired[str]
    round: NotRequired[int | None]
    model: str
    is_language_model: bool
    settings: NotRequired[dict[str, Any]]
    messages: list[MessageLine]
    schema: NotRequired[dict[str, Any] | None]
    reply: ReplyLine
    started: NotRequired[str]
    seconds: float


@checked
@dataclass(frozen=True)
class Caps:
    """What all calls of a run may cost together, over all its visits; None: no cap.

    A cap is checked before a call, so the last call may pass it.

    Args:
        calls: answered calls.
        tokens: input and output tokens, estimated where a server does not count them.
        usd: US dollars. A call of unknown price stops the search, since nothing keeps this cap.
        seconds: spent on waiting for answers.
    """

    calls: CountOrZero | None = None
    tokens: Annotated[int, Ge(0), Le(10**12)] | None = None
    usd: NotNegative | None = None
    seconds: NotNegative | None = None


@dataclass(frozen=True)
class Totals:
    """What the calls of a run have cost so far."""

    calls: int = 0
    input: int = 0  # tokens, `cached` ones included
    output: int = 0  # tokens, `reasoning` ones included
    reasoning: int = 0
    cached: int = 0
    usd: float = 0.0  # of the calls whose price is known
    seconds: float = 0.0
    attempts: int = 0
    unpriced: int = 0  # calls whose price is not known
    estimated: int = 0  # calls whose tokens the server did not count

    @classmethod
    def of(cls, reply: Reply, seconds: float) -> Totals:
        """Return what one call has cost, which took so many seconds."""
        return cls(
            calls=1,
            input=reply.usage.input,
            output=reply.usage.output,
            reasoning=reply.usage.reasoning,
            cached=reply.usage.cached,
            usd=reply.cost_usd or 0.0,
            seconds=seconds,
            attempts=reply.attempts,
            unpriced=int(reply.cost_usd is None),
            estimated=int(reply.usage.estimated),
        )

    @property
    def tokens(self) -> int:
        """Count all tokens."""
        return self.input + self.output

    def __add__(self, other: Totals) -> Totals:
        return Totals(**{name: x + vars(other)[name] for name, x in vars(self).items()})


class Ledger:
    """The calls of one run, in memory and on disk. Safe to share between threads and models.

    Args:
        path: the file; it is read if it exists.

    Raises:
        CorruptFile: a line is not an entry of a ledger.
    """

    def __init__(self, path: Path, caps: Caps | None = None) -> None:
        self.path = path
        self.caps = caps or Caps()
        self._lock = Lock()
        self._answers: dict[str, Reply] = {}
        self._rounds: list[int] = []  # of each call, in order of the rounds
        self._costs: list[Totals] = []  # of each call, in the same order
        self._sums = [Totals()]  # of the first so many of these
        self._served: set[str] = set()  # the models that answered, as servers name them
        self._models: dict[str, dict[str, bool]] = {}  # of each role: name, is it a language model
        self._journal = open_calls(path)
        for entry in self._journal.entries:
            self._remember(entry)
        self._journal.entries.clear()  # whole dialogues

    def find(self, key: str) -> Reply | None:
        """Return the recorded answer of a call, if there is one."""
        return self._answers.get(key)

    def append(self, entry: CallLine) -> Reply:
        """Record a call, on disk first; return its reply as every later visit will read it."""
        with self._lock:
            return self._remember(self._journal.append(entry))

    def totals(self, rounds: int | None = None) -> Totals:
        """Add up all calls (of the first `rounds` rounds)."""
        with self._lock:
            calls = len(self._rounds) if rounds is None else bisect_left(self._rounds, rounds)
            return self._sums[calls]

    def models(self, role: str) -> dict[str, bool]:
        """Name the models that answered in a role, in order; is each a language model?"""
        with self._lock:
            return dict(self._models.get(role, {}))

    def stand_ins(self) -> list[str]:
        """Name the scripted stand-ins that answered, whatever model was asked for."""
        with self._lock:
            return sorted(name for name in self._served if name.startswith(SCRIPTED))

    def check_caps(self) -> None:
        """See whether another call is allowed.

        Raises:
            CapReached: which cap, what is spent, and which config key raises it.
        """
        spent = self.totals()
        for name, unit in (("calls", "calls"), ("tokens", "tokens"), ("usd", "US dollars")):
            self._check_cap(name, getattr(spent, name), unit)
        self._check_cap("seconds", spent.seconds, "seconds of waiting for answers")
        if self.caps.usd is not None and spent.unpriced:
            raise CapReached(
                f"caps.usd={self.caps.usd:g} cannot be kept: the price of {spent.unpriced} of "
                f"{spent.calls} calls is not known ({self.path}). Cap tokens instead, "
                f"caps.usd=null caps.tokens=…, and the same command continues the search."
            )

    def _remember(self, entry: CallLine) -> Reply:
        reply = reply_of(entry)
        role = entry.get("role") or role_of(entry["purpose"])
        messages = [(m["role"], m["content"]) for m in entry["messages"]]
        key = call_key(role, entry["purpose"], messages, entry.get("schema"))
        self._answers[key] = reply
        self._add(entry.get("round") or 0, Totals.of(reply, entry["seconds"]))
        self._served.add(reply.model)
        self._models.setdefault(role, {})[entry["model"]] = entry["is_language_model"]
        return reply

    def _add(self, round_: int, cost: Totals) -> None:
        """Keep the sums up to date; a call of the latest round, as most are, adds one."""
        place = bisect_right(self._rounds, round_)
        self._rounds.insert(place, round_)
        self._costs.insert(place, cost)
        self._sums[place:] = accumulate(self._costs[place:], initial=self._sums[place])

    def _check_cap(self, name: str, spent: float, unit: str) -> None:
        cap = getattr(self.caps, name)
        if cap is not None and spent >= cap:
            raise CapReached(
                f"caps.{name} is reached: {spent:,.10g} of {cap:,.10g} {unit} are spent "
                f"({self.path}). Nothing is lost: raise it (caps.{name}=…) or lift it "
                f"(caps.{name}=null), and the same command continues the search."
            )


class LedgeredChat:
    """A chat model whose calls go through a ledger: looked up, or asked, paid and recorded.

    A model may write what no request can carry, and be told it again later: the ledger keeps both
    as they are, and what is sent is mended.

    Args:
        role: whom it plays in the strategy; empty: as the purpose of a call begins.
    """

    def __init__(self, model: ChatModel, ledger: Ledger, role: str = "") -> None:
        self.model = model
        self.ledger = ledger
        self.role = role
        self.name = model.name
        self.is_language_model = model.is_language_model
        self.settings = model.settings

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`.

        Raises:
            CapReached: the call is new, and a cap is reached.
        """
        role = self.role or role_of(purpose)
        asked = [(m.role, m.content) for m in messages]
        key = call_key(role, purpose, asked, schema)
        # Before roles had names of their own, a call's was what its purpose begins with.
        older = call_key(role_of(purpose), purpose, asked, schema)
        if reply := self.ledger.find(key) or self.ledger.find(older):
            return reply
        self.ledger.check_caps()
        started = datetime.now(tz=UTC).isoformat(timespec="seconds")
        start = monotonic()
        sent = [replace(m, content=sendable(m.content)) for m in messages]
        reply = self.model.complete(sent, purpose=purpose, schema=schema)
        round_ = purpose.partition("/")[2].partition("/")[0]
        entry: CallLine = {
            "key": key,
            "purpose": purpose,
            "role": role,
            "round": int(round_) if round_.isdecimal() else None,
            "model": self.name,
            "is_language_model": self.is_language_model and not reply.model.startswith(SCRIPTED),
            "settings": dict(self.settings),
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "schema": dict(schema) if schema is not None else None,
            "reply": cast(ReplyLine, asdict(reply)),
            "started": started,
            "seconds": round(monotonic() - start, 3),
        }
        return self.ledger.append(entry)


def call_key(
    role: str, purpose: str, messages: Sequence[tuple[str, str]], schema: JSON | None
) -> str:
    """Name a call by what was asked, whom and what for: messages are pairs of role and content.

    How it is asked (address, limits, the model itself) may change while a run goes on, and what is
    paid stays paid. Settings that answers depend on bind the run instead.
    """
    parts = [role, purpose, messages, schema]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def role_of(purpose: str) -> str:
    """Return the role that a purpose begins with: "navigator" of "navigator/3"."""
    return purpose.partition("/")[0]


def open_calls(path: Path) -> Journal[CallLine]:
    """Open the file of a ledger.

    Raises:
        CorruptFile: a line is not a recorded call.
    """
    return Journal(path, CallLine)


def reply_of(entry: CallLine) -> Reply:
    """Read the reply of an entry."""
    fields: dict[str, Any] = {**entry["reply"]}
    return Reply(**{**fields, "usage": Usage(**fields["usage"])})
