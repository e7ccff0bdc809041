"""A replay gives the recorded answers, all of them and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collm_nas.llm.base import JSON, LLMUnavailable, Message, Reply, Usage
from collm_nas.llm.ledger import Ledger, LedgeredChat
from collm_nas.llm.replay import ReplayChat

ODD_TEXT = '{"cell": "|nor_conv_3x3~0|"}\r\n\u2028 ü \ud83d \x00 <think>'


class Fixed:
    """A model that gives one answer."""

    def __init__(self, name: str = "gpt-4.1", is_language_model: bool = True, **reply: Any) -> None:
        self.name = name
        self.is_language_model = is_language_model
        self.settings: JSON = {"model": name}
        self.reply = Reply(ODD_TEXT, "why", "stop", "gpt-4.1-2025", Usage(10, 5), **reply)

    def complete(self, *args: Any, **kwargs: Any) -> Reply:
        return self.reply


def ask(*texts: str) -> list[Message]:
    return [Message("system", "You design networks."), *(Message("user", t) for t in texts)]


def record(run: Path, model: Fixed, *purposes: str) -> None:
    chat = LedgeredChat(model, Ledger(run / "llm_calls.jsonl"))
    for purpose in purposes:
        chat.complete(ask(f"This is {purpose}."), purpose=purpose)


def test_the_recorded_reply_comes_back_whole_and_free(tmp_path: Path) -> None:
    model = Fixed(sent={"seed": 4, "extra_body": {"top_k": 20}}, cost_usd=0.5, attempts=2)
    record(tmp_path, model, "navigator/0", "generator/0")
    for source in (tmp_path, tmp_path / "llm_calls.jsonl"):
        replay = ReplayChat(str(source))
        reply = replay.complete(ask("This is generator/0."), purpose="generator/0")
        assert reply == replace(model.reply, cost_usd=0.0, price_source="replay")
        assert reply.text.encode(errors="surrogatepass") == ODD_TEXT.encode(errors="surrogatepass")


def test_it_says_whom_it_repeats(tmp_path: Path) -> None:
    record(tmp_path, Fixed(), "navigator/0", "navigator/1")
    assert ReplayChat(str(tmp_path)).name == "replay of gpt-4.1"
    assert ReplayChat(str(tmp_path)).is_language_model
    record(tmp_path, Fixed("scripted", is_language_model=False), "generator/0")
    assert ReplayChat(str(tmp_path)).name == "replay of gpt-4.1 and scripted"
    assert not ReplayChat(str(tmp_path)).is_language_model


def test_a_purpose_that_was_never_asked_is_refused(tmp_path: Path) -> None:
    record(tmp_path, Fixed(), "navigator/0")
    with pytest.raises(LLMUnavailable, match=r"no answer for navigator/7: it was never asked"):
        ReplayChat(str(tmp_path)).complete(ask("This is navigator/0."), purpose="navigator/7")


def test_another_prompt_is_refused_and_shown(tmp_path: Path) -> None:
    record(tmp_path, Fixed(), "navigator/0")
    replay = ReplayChat(str(tmp_path))
    with pytest.raises(LLMUnavailable, match=r"message 2 \(user\) differs from character 9") as e:
        replay.complete(ask("This is NAVIGATOR/0."), purpose="navigator/0")
    assert "'This is navigator/0.'" in str(e.value)
    assert "'This is NAVIGATOR/0.'" in str(e.value)
    assert "seed" in str(e.value)
    with pytest.raises(LLMUnavailable, match="dialogue has 2 messages, this one 3"):
        replay.complete(ask("This is navigator/0.", "And?"), purpose="navigator/0")


@pytest.mark.parametrize("exists", [True, False])
def test_without_a_recording_there_is_nothing_to_replay(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "llm_calls.jsonl").touch()
    with pytest.raises(ValueError, match=r"llm_calls\.jsonl.*(replay)"):
        ReplayChat(str(tmp_path))


def test_a_recording_is_never_written_to(tmp_path: Path) -> None:
    record(tmp_path, Fixed(), "navigator/0")
    path = tmp_path / "llm_calls.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key": "another process is writ')
    before = path.read_bytes()
    ReplayChat(str(tmp_path)).complete(ask("This is navigator/0."), purpose="navigator/0")
    assert path.read_bytes() == before
