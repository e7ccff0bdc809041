"""The embedded model: what it refuses before the start, and that its child never outlives us."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collm_nas.llm.base import LLMUnavailable, Message
from collm_nas.llm.local import LocalChat
from collm_nas.llm.weights import find_weights, is_installed, known_weights, sha256_of
from collm_nas.prompting.dialect import dialect_of
from collm_nas.prompting.texts import description
from collm_nas.spaces.nasbench201.space import NASBench201

SAMPLING: dict[str, Any] = {"temperature": 1.0, "min_p": 0.1, "max_tokens": 60, "seed": 0}
MODEL = "smollm2-135m"
HI = [Message("user", "Say hi.")]


@pytest.fixture(scope="module")
def model() -> Iterator[LocalChat]:
    pytest.importorskip("xllamacpp", reason="the engine is not installed: collm-nas[local]")
    if not is_installed(MODEL):
        pytest.skip(f"no weights here: python -m collm_nas.llm.fetch {MODEL}")
    model = LocalChat(MODEL, **SAMPLING, n_ctx=1024, threads=1)
    yield model
    model.engine().stop()


@pytest.mark.slow
def test_an_answer_is_held_to_the_schema_and_to_what_it_leaves_out(model: LocalChat) -> None:
    space = NASBench201()
    dialect = dialect_of(space, "short")
    known = {space.sample(random.Random(i)) for i in range(250)}
    messages = [Message("system", description(dialect)), Message("user", "Write 1 cell.")]
    for _ in range(5):
        purpose = f"generator/{len(known)}"
        reply = model.complete(messages, purpose=purpose, schema=dialect.schema(exclude=known))
        arch = dialect.decode(json.loads(reply.text))
        assert arch not in known
        known.add(arch)
    assert reply.finish_reason == "stop"
    assert reply.model == model.name
    assert reply.usage.cached > 0, "the prompt of the last call is in the cache"


@pytest.mark.slow
def test_a_call_depends_on_its_purpose_and_nothing_else(model: LocalChat) -> None:
    tale = [Message("user", "Tell a tale.")]
    model.complete(tale, purpose="warm the cache")
    once, again, other = (model.complete(tale, purpose=p).text for p in ("a", "a", "b"))
    assert once == again != other


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_is_explained(model: LocalChat) -> None:
    with pytest.raises(LLMUnavailable, match=r"can read 1,024 tokens.*llm\.model\.n_ctx"):
        model.complete([Message("user", "hi " * 2000)], purpose="test")
    assert model.complete(HI, purpose="test").text, "the next call is served"


@pytest.mark.slow
def test_an_engine_that_died_is_started_again(model: LocalChat) -> None:
    model.complete(HI, purpose="test")
    dead = model.engine()
    os.kill(dead.pid, signal.SIGKILL)
    assert model.complete(HI, purpose="test").text
    assert model.engine() is not dead


@pytest.mark.slow
def test_the_engine_dies_with_its_parent_even_if_that_is_killed(model: LocalChat) -> None:
    code = (
        "from collm_nas.llm.local import LocalChat\n"
        f"model = LocalChat({MODEL!r}, **{SAMPLING!r}, n_ctx=512, threads=1)\n"
        "print(model.engine().pid, flush=True)\n"
        "input()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=env) as parent:
        assert parent.stdout is not None
        engine = int(parent.stdout.readline())
        os.kill(engine, 0)  # raises if there is no such process
        parent.kill()
    deadline = time.monotonic() + 10
    while _runs(engine) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(engine)


def test_a_file_that_is_no_model_is_refused_before_the_start(tmp_path: Path) -> None:
    page = tmp_path / "model.gguf"
    page.write_text("<html>Not found</html>")
    with pytest.raises(LLMUnavailable, match=r"model\.gguf is no GGUF file.*b'<htm'"):
        LocalChat(str(page), **SAMPLING)


@pytest.mark.slow
def test_a_damaged_model_ends_in_the_words_of_the_engine(model: LocalChat, tmp_path: Path) -> None:
    damaged = tmp_path / "model.gguf"
    damaged.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(LLMUnavailable, match=r"could not load .*model\.gguf.*(?s:.*)load"):
        LocalChat(str(damaged), **SAMPLING).complete(HI, purpose="test")


def test_a_missing_file_is_named_and_so_are_the_models_that_can_be_fetched() -> None:
    with pytest.raises(LLMUnavailable, match=r"no file nowhere\.gguf.*qwen2\.5-coder-1\.5b"):
        LocalChat("nowhere.gguf", **SAMPLING)


def test_missing_weights_name_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path))
    with pytest.raises(LLMUnavailable) as error:
        find_weights("qwen2.5-coder-1.5b")
    for way in ("python -m collm_nas.llm.fetch qwen2.5-coder-1.5b", "llm=gguf", "llm=gpt4"):
        assert way in str(error.value)


def test_fetched_weights_are_found_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path))
    file = tmp_path / "models" / known_weights()["qwen2.5-coder-0.5b"].file
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    assert find_weights("qwen2.5-coder-0.5b") == file


def test_a_missing_engine_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collm_nas.llm.local.find_spec", lambda name: None)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(LLMUnavailable, match=r"pip install 'collm-nas\[local\]'"):
        LocalChat(str(file), **SAMPLING)


def test_settings_name_the_file_by_its_hash_and_not_by_its_place(model: LocalChat) -> None:
    assert model.settings["sha256"] == known_weights()[MODEL].sha256
    assert str(model.path.parent) not in str(model.settings)


def test_the_hash_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    before = sha256_of(file)
    file.write_bytes(b"other")
    assert sha256_of(file) != before


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
