"""A dialogue that outgrows its model: told of before the start, and searched to its end."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.cli.estimate import estimate, print_estimate
from collm_nas.config.run import Stopped, UserError
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.llm.base import Message
from collm_nas.llm.counting import estimated_tokens
from collm_nas.llm.prices import context_length
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import search_config

CONTEXT = 9000
SEARCH = ["budget.evaluations=60", "strategy.candidates=5", "llm.model.max_completion_tokens=4000"]


@contextmanager
def served(context: int) -> Iterator[str]:
    """Serve a scripted model that reads `context` tokens; it counts none for its users."""
    model = ScriptedChat(NASBench201())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = [Message(m["role"], m["content"]) for m in asked["messages"]]
            tokens = estimated_tokens(*(m.content for m in messages))
            if tokens + asked["max_completion_tokens"] > context:
                said = f"maximum context length is {context} tokens, {tokens} in the messages"
                self.answer(400, {"error": {"message": said}})
                return
            schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
            reply = model.complete(messages, purpose=str(asked["seed"]), schema=schema)
            message = {"role": "assistant", "content": reply.text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.answer(200, {"model": "short", "choices": [choice]})

        def answer(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
    finally:
        httpd.shutdown()
        httpd.server_close()


def config(url: str, *overrides: str):
    model = ["llm.model.model=short", f"llm.model.base_url={url}"]
    return search_config(*SEARCH, *model, *overrides, llm="endpoint")


@pytest.fixture
def stopped(tmp_path) -> Iterator[tuple[str, Path, str]]:
    """Search until the context is full; return the server, the run and what was printed."""
    with served(CONTEXT) as url:
        with pytest.raises(Stopped) as caught:
            session.run(config(url), tmp_path / "run")
        yield url, tmp_path / "run", str(caught.value)


def finish(url: str, run_dir: Path, *overrides: str) -> None:
    """See that a search goes on to its end, and can be replayed as it was."""
    result = session.run(config(url, *overrides), run_dir)
    assert (result["evaluations"], result["finished"]) == (60, True)
    asked = [o for o in (*SEARCH, *overrides) if not o.startswith("llm.")]
    replayed = search_config(*asked, f"llm.model.run={run_dir}", llm="replay")
    again = run_dir.with_name("again")
    session.run(replayed, again)
    assert (again / "archive.jsonl").read_bytes() == (run_dir / "archive.jsonl").read_bytes()


def test_a_shorter_memory_from_here_on_as_printed_ends_the_search(stopped):
    url, run_dir, told = stopped
    assert "has outgrown the context of the model" in told
    advised = re.findall(r"strategy\.memory_\w+=\d+", told)
    assert len(advised) == 2
    assert len((run_dir / "archive.jsonl").read_text().splitlines()) >= 3
    finish(url, run_dir, *advised)


def test_less_room_as_printed_goes_on_and_a_shorter_memory_ends_it_even_then(stopped):
    url, run_dir, told = stopped
    for _ in range(3):
        less = re.findall(r"llm\.model\.max_completion_tokens=\d+", told)
        assert len(less) == 1
        with pytest.raises(Stopped) as caught:
            session.run(config(url, *less), run_dir)
        told = str(caught.value)
    advised = re.findall(r"strategy\.memory_\w+=\d+", told)
    finish(url, run_dir, *less, *advised)


def test_the_same_model_with_a_longer_context_ends_it(stopped):
    _, run_dir, _ = stopped
    with served(10**6) as longer:
        finish(longer, run_dir)


def test_a_shorter_memory_may_not_change_what_was_asked(stopped):
    url, run_dir, _ = stopped
    rounds = len((run_dir / "archive.jsonl").read_text().splitlines())
    for changed in (["memory_rounds=1"], ["memory_rounds=1", f"memory_from={rounds - 1}"]):
        overrides = [f"strategy.{change}" for change in changed]
        with pytest.raises(UserError, match=r"memory_rounds: \(not set\) -> 1"):
            session.run(config(url, *overrides), run_dir)


@pytest.mark.parametrize("limit", [CONTEXT, 12_000])
def test_the_estimate_warns_of_it_and_its_remedies_fit(limit, capsys):
    known = [f"llm.model.context={limit}", "caps.tokens=9"]
    navigator, generator = estimate(config("http://localhost:1/v1", *known))
    assert (navigator.context, navigator.room, generator.full_at) == (limit, 4000, None)
    assert navigator.largest + navigator.room > limit
    print_estimate(config("http://localhost:1/v1", *known))
    printed = capsys.readouterr()
    assert f"Longest request of the navigator: {navigator.largest:,} tokens" in printed.out
    assert f"full in round {navigator.full_at}" in printed.err
    remedies = re.findall(r"\((strategy\.memory_rounds=\d+|llm\.model\.\w+=\d+)\)", printed.err)
    needed = re.search(r"a model that reads ([\d,]+) tokens", printed.err)
    assert needed is not None
    remedies.append(f"llm.model.context={needed[1].replace(',', '')}")
    assert len(remedies) >= 2
    for remedy in remedies:
        print_estimate(config("http://localhost:1/v1", *known, remedy))
        assert "WARNING" not in capsys.readouterr().err, remedy


def test_where_the_context_is_not_known_the_estimate_says_how_long_requests_get(capsys):
    print_estimate(config("http://localhost:1/v1"))
    printed = capsys.readouterr()
    assert re.search(r"navigator: [\d,]{5,} tokens and 4,000 for the answer", printed.out)
    assert "unknown: llm.model.context=…" in printed.out
    assert not printed.err


def test_the_context_binds_no_run(tmp_path):
    with served(10**6) as url:
        short = ["budget.evaluations=5", "llm.model.context=5000"]
        session.run(config(url, *short), tmp_path / "run")
        session.run(config(url, "llm.model.context=77777"), tmp_path / "run")


def test_the_price_list_knows_contexts():
    openai = "https://api.openai.com/v1"
    assert context_length("gpt-4.1", openai) == 1_000_000
    assert context_length("a-model-nobody-knows", openai) is None
    assert context_length("gpt-4.1", "http://localhost:8000/v1") is None


def test_a_role_that_has_not_answered_is_bound_to_nothing(tmp_path):
    """The Navigator is paid when the Generator's model refuses what it is asked."""
    with served(CONTEXT) as url:
        other = ["+llm@other=endpoint", "other.model.model=short", f"other.model.base_url={url}"]
        asked = [*other, "strategy.models.generator=${other.model}", "budget.evaluations=5"]
        with pytest.raises(Stopped, match="outgrown"):
            session.run(config(url, *asked), tmp_path / "run")
        with pytest.raises(UserError, match=r"models\.navigator\.temperature"):
            session.run(config(url, *asked, "llm.model.temperature=null"), tmp_path / "run")
        mended = ["other.model.max_completion_tokens=100", "other.model.temperature=null"]
        session.run(config(url, *asked, *mended), tmp_path / "run")
        with pytest.raises(UserError, match=r"models\.generator\.temperature"):
            session.run(config(url, *asked), tmp_path / "run")
