"""The ledger: nothing is paid twice, nothing is spent beyond a cap, everything is recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from collm_nas.core.files import CorruptFile
from collm_nas.llm.base import JSON, CapReached, LLMUnavailable, Message, Reply, Usage
from collm_nas.llm.ledger import Caps, Ledger, LedgeredChat, Totals

MESSAGES = [Message("system", "You design networks."), Message("user", "Propose one: ü, \ud83d.")]
USAGE = Usage(input=100, output=50, reasoning=30, cached=64)


class Counting:
    """A model that numbers its answers."""

    name = "counting"
    is_language_model = True

    def __init__(self, settings: JSON | None = None, **reply: Any) -> None:
        self.settings: JSON = settings or {"model": "counting", "temperature": 0.6}
        self.calls = 0
        self.reply = reply

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        self.calls += 1
        return Reply(f"answer {self.calls}", **{"usage": USAGE, "cost_usd": 0.5, **self.reply})


def test_a_known_call_is_not_made_again(tmp_path: Path) -> None:
    model = Counting()
    chat = LedgeredChat(model, Ledger(tmp_path / "llm_calls.jsonl"))
    first = chat.complete(MESSAGES, purpose="navigator/0")
    assert chat.complete(MESSAGES, purpose="navigator/0") == first
    assert model.calls == 1


def test_a_known_call_is_not_made_again_by_the_next_process(tmp_path: Path) -> None:
    recorded = LedgeredChat(
        Counting(reasoning="because", sent={"seed": 3}, attempts=2, fingerprint="fp"),
        Ledger(tmp_path / "llm_calls.jsonl"),
    ).complete(MESSAGES, purpose="navigator/0")
    model = Counting()
    again = LedgeredChat(model, Ledger(tmp_path / "llm_calls.jsonl"))
    assert again.complete(MESSAGES, purpose="navigator/0") == recorded
    assert model.calls == 0


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "navigator/1"},
        {"messages": MESSAGES[:1]},
        {"messages": [Message("user", MESSAGES[0].content), MESSAGES[1]]},
        {"schema": {"type": "object"}},
        {"role": "critic"},
    ],
)
def test_a_call_that_differs_in_anything_is_another_call(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    ledger = Ledger(tmp_path / "llm_calls.jsonl")
    LedgeredChat(Counting(), ledger, "navigator").complete(MESSAGES, purpose="0")
    model, role = Counting(), change.pop("role", "navigator")
    call = {"messages": MESSAGES, "purpose": "0", **change}
    LedgeredChat(model, ledger, role).complete(call.pop("messages"), **call)
    assert model.calls == 1


@pytest.mark.parametrize("change", [{"max_tokens": 99}, {"structured": "text"}, {"model": "b"}])
def test_a_paid_call_is_found_however_the_next_ones_are_asked(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path, settings = tmp_path / "llm_calls.jsonl", {"model": "a", "structured": "auto"}
    paid = LedgeredChat(Counting(settings), Ledger(path)).complete(MESSAGES, purpose="navigator/0")
    model = Counting({**settings, **change})
    again = LedgeredChat(model, Ledger(path), "navigator").complete(MESSAGES, purpose="navigator/0")
    assert (again, model.calls) == (paid, 0)


@pytest.mark.parametrize("role", ["navigator", "guide"])
def test_calls_of_older_ledgers_are_found(tmp_path: Path, role: str) -> None:
    """Their keys were of settings, too, and their roles what a purpose begins with."""
    path = tmp_path / "llm_calls.jsonl"
    LedgeredChat(Counting(), Ledger(path)).complete(MESSAGES, purpose="navigator/0")
    entry = json.loads(path.read_text())
    del entry["chain"]
    path.write_text(json.dumps({**entry, "key": "an older key"}) + "\n")
    model = Counting()
    LedgeredChat(model, Ledger(path), role).complete(MESSAGES, purpose="navigator/0")
    assert model.calls == 0


def test_an_entry_holds_the_whole_call(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    text, schema = "x" * 100_000, {"type": "object"}
    sent = {"model": "counting", "temperature": 0.6, "seed": 11, "response_format": "json_schema"}
    model = Counting(reasoning=text, sent=sent, model="counting-2025", finish_reason="length")
    LedgeredChat(model, Ledger(path)).complete(
        MESSAGES, purpose="generator/12/retry", schema=schema
    )
    (entry,) = map(json.loads, path.read_text().splitlines())
    assert len(entry.pop("key")) == 64
    assert len(entry.pop("chain")) == 16
    assert entry.pop("seconds") >= 0
    assert entry.pop("started").endswith("+00:00")
    assert entry == {
        "purpose": "generator/12/retry",
        "role": "generator",
        "round": 12,
        "model": "counting",
        "is_language_model": True,
        "settings": {"model": "counting", "temperature": 0.6},
        "messages": [
            {"role": "system", "content": "You design networks."},
            {"role": "user", "content": "Propose one: ü, \ud83d."},
        ],
        "schema": schema,
        "reply": {
            "text": "answer 1",
            "reasoning": text,
            "finish_reason": "length",
            "model": "counting-2025",
            "usage": {
                "input": 100,
                "output": 50,
                "reasoning": 30,
                "cached": 64,
                "estimated": False,
            },
            "attempts": 1,
            "fingerprint": "",
            "sent": sent,
            "seed_honoured": "unknown",
            "cost_usd": 0.5,
            "price_source": "",
            "unread": "",
            "failures": [],
        },
    }


def test_an_answer_of_a_scripted_server_is_labelled(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    model = Counting(model="scripted-sensible")
    LedgeredChat(model, Ledger(path)).complete(MESSAGES, purpose="navigator/0")
    assert json.loads(path.read_text())["is_language_model"] is False


def test_totals_are_of_all_visits(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    for visit in range(2):
        chat = LedgeredChat(Counting(attempts=3), Ledger(path))
        chat.complete(MESSAGES, purpose=f"navigator/{visit}")
    free = LedgeredChat(Counting(cost_usd=None), Ledger(path))
    free.complete(MESSAGES, purpose="navigator/2")
    totals = free.ledger.totals()
    assert totals == Totals(
        calls=3,
        input=300,
        output=150,
        reasoning=90,
        cached=192,
        usd=1.0,
        seconds=totals.seconds,
        attempts=7,
        unpriced=1,
    )
    assert totals.tokens == 450
    assert Ledger(path).totals() == totals


def test_totals_of_the_first_rounds_are_those_of_their_calls(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    chat = LedgeredChat(Counting(), Ledger(path))
    for round_ in (0, 1, 0, 3, 1, 3, 7):  # calls of a round that was killed may come late
        chat.complete(MESSAGES, purpose=f"navigator/{round_}/{chat.ledger.totals().calls}")
    for ledger in (chat.ledger, Ledger(path)):
        counts = [ledger.totals(rounds).calls for rounds in range(10)]
        assert counts == [0, 2, 4, 4, 6, 6, 6, 6, 7, 7]
        assert ledger.totals(4).input == 6 * ledger.totals().input / 7


@pytest.mark.parametrize(
    ("caps", "calls", "message"),
    [
        (Caps(calls=3), 3, r"caps\.calls is reached: 3 of 3 calls"),
        (Caps(tokens=301), 3, r"caps\.tokens is reached: 450 of 301 tokens"),
        (Caps(usd=0.9), 2, r"caps\.usd is reached: 1 of 0\.9 US dollars"),
        (Caps(calls=0), 0, r"caps\.calls is reached: 0 of 0 calls"),
        (Caps(seconds=0), 0, r"caps\.seconds is reached"),
    ],
)
def test_a_cap_stops_before_the_next_call(
    tmp_path: Path, caps: Caps, calls: int, message: str
) -> None:
    path = tmp_path / "llm_calls.jsonl"
    model = Counting()
    chat = LedgeredChat(model, Ledger(path, caps))
    for index in range(calls):
        chat.complete(MESSAGES, purpose=f"navigator/{index}")
    with pytest.raises(CapReached, match=message):
        chat.complete(MESSAGES, purpose="navigator/new")
    assert model.calls == calls
    if calls:  # what is paid for is still answered
        assert chat.complete(MESSAGES, purpose="navigator/0").text == "answer 1"
    raised = LedgeredChat(model, Ledger(path, Caps()))
    assert raised.complete(MESSAGES, purpose="navigator/new").text == f"answer {calls + 1}"


def test_a_cap_in_dollars_needs_a_price(tmp_path: Path) -> None:
    chat = LedgeredChat(Counting(cost_usd=None), Ledger(tmp_path / "calls", Caps(usd=5)))
    chat.complete(MESSAGES, purpose="navigator/0")
    with pytest.raises(CapReached, match=r"price of 1 of 1 calls is not known.*caps\.tokens"):
        chat.complete(MESSAGES, purpose="navigator/1")


def test_a_failed_call_is_not_recorded(tmp_path: Path) -> None:
    class Down(Counting):
        def complete(self, *args: Any, **kwargs: Any) -> Reply:
            raise LLMUnavailable("down")

    ledger = Ledger(tmp_path / "llm_calls.jsonl")
    with pytest.raises(LLMUnavailable):
        LedgeredChat(Down(), ledger).complete(MESSAGES, purpose="navigator/0")
    assert ledger.totals() == Totals()


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    chat = LedgeredChat(Counting(), Ledger(path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: chat.complete(MESSAGES, purpose=f"generator/0/{i}"), range(40)))
    assert chat.ledger.totals().calls == Ledger(path).totals().calls == 40


def test_a_line_torn_by_a_crash_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "llm_calls.jsonl"
    chat = LedgeredChat(Counting(), Ledger(path))
    for index in range(2):
        chat.complete(MESSAGES, purpose=f"navigator/{index}")
    path.write_bytes(path.read_bytes()[:-10])
    model = Counting()
    again = LedgeredChat(model, Ledger(path))
    for index in range(2):
        again.complete(MESSAGES, purpose=f"navigator/{index}")
    assert model.calls == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.pop("reply"), r"line 1 is damaged: reply: Field required"),
        (
            lambda entry: entry["reply"].update(mood="good"),
            r"line 1 is damaged: reply\.mood: Extra inputs",
        ),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "llm_calls.jsonl"
    LedgeredChat(Counting(), Ledger(path)).complete(MESSAGES, purpose="navigator/0")
    entry = json.loads(path.read_text())
    del entry["chain"]
    change(entry)
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(CorruptFile, match=message):
        Ledger(path)
