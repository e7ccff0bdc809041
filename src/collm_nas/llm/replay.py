"""The recorded answers of an earlier search, played back offline.

A search is a function of its settings and its model's answers, so a replay gives the same archive
to the byte. What was not recorded is refused: a replay never makes anything up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from collm_nas.core.arguments import checked
from collm_nas.core.printable import sendable
from collm_nas.core.ranges import Text
from collm_nas.llm.base import JSON, LLMUnavailable, Message, Reply
from collm_nas.llm.ledger import CallLine, MessageLine, open_calls, reply_of

LEDGER = "llm_calls.jsonl"


@checked
class ReplayChat:
    """Answers from the ledger of a run.

    Args:
        run: the run's directory, or the ledger itself.
        role: whose answers come first where two models were asked the same for the same purpose.

    Raises:
        ValueError: there is no ledger, or it is empty.
        CorruptFile: a line of it is not a recorded call.
    """

    def __init__(self, run: Text, role: Text | None = None) -> None:
        self.path = Path(run) / LEDGER if Path(run).is_dir() else Path(run)
        if not self.path.is_file():
            raise ValueError(
                f"there is no recording at {self.path}. Name a run directory that holds a "
                f"{LEDGER} (replay=… or llm.model.run=…)."
            )
        entries = open_calls(self.path).entries
        if not entries:
            raise ValueError(f"{self.path} holds no recorded calls: there is nothing to replay.")
        self._calls: dict[str, list[CallLine]] = {}
        for entry in sorted(entries, key=lambda e: e.get("role") != role):
            self._calls.setdefault(entry["purpose"], []).append(entry)
        self.name = "replay of " + " and ".join(dict.fromkeys(e["model"] for e in entries))
        self.is_language_model = all(entry["is_language_model"] for entry in entries)
        self.settings: JSON = {"model": self.name}

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """Return the recorded answer, which costs nothing now; see `ChatModel`.

        Raises:
            LLMUnavailable: this was not asked in the recorded run.
        """
        asked = [_sent(asdict(m)) for m in messages]
        calls = self._calls.get(purpose, [])
        for entry in calls:
            if [_sent(m) for m in entry["messages"]] == asked:
                return replace(reply_of(entry), cost_usd=0.0, price_source="replay")
        why = _difference(calls[-1]["messages"], asked) if calls else "it was never asked that"
        raise LLMUnavailable(
            f"{self.path} has no answer for {purpose}: {why}. A replay needs the settings of the "
            f"recorded run (see its config.yaml: seed, search space, limits, budget, strategy) "
            f"and the prompts of the version that recorded it. To ask a model instead: llm=…"
        )


def _difference(recorded: list[MessageLine], asked: list[dict[str, Any]]) -> str:
    """Say where two dialogues part."""
    for number, (then, now) in enumerate(zip(recorded, asked, strict=False), start=1):
        if then != now:
            a, b = then["content"], now["content"]
            pairs = enumerate(zip(a, b, strict=False))
            place = next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))
            return (
                f"message {number} ({now['role']}) differs from character {place + 1} on: "
                f"recorded {_from(a, place)}, asked now {_from(b, place)}"
            )
    return f"the recorded dialogue has {len(recorded)} messages, this one {len(asked)}"


def _sent(message: Mapping[str, object]) -> dict[str, object]:
    """Return a message as it leaves for a model; the ledger has it as it was meant."""
    return {**message, "content": sendable(str(message["content"]))}


def _from(text: str, place: int) -> str:
    start = max(0, place - 20)
    return repr(text[start : place + 40])
