"""OpenAIChat against a real server on loopback, through the real client and real sockets."""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from omegaconf import OmegaConf

import collm_nas.llm.openai as module
from collm_nas.config.run import UserError, build
from collm_nas.llm.base import CapReached, LLMUnavailable, Message, Usage
from collm_nas.llm.ledger import Caps, Ledger, LedgeredChat
from collm_nas.llm.openai import OpenAIChat

KEY = "sk-proj-0123456789abcdefghij"
MESSAGES = [Message("system", "You design networks."), Message("user", "Propose one.")]
SCHEMA = {"type": "object", "properties": {"cell": {"type": "string"}}, "required": ["cell"]}

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(
    body: Any,
    status: int = 200,
    headers: dict[str, str] | None = None,
    kind: str = "application/json",
) -> Answer:
    """Build an answer of the server; `body` is text, or what becomes JSON."""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def completion(content: str | None = "Hello.", finish_reason: str = "stop", **message: Any) -> Any:
    """Write the body of a chat completion, as the protocol's reference shows it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "test-model-2025-01-01",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": 120,
            "completion_tokens": 80,
            "total_tokens": 200,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
    }


def error(
    message: str, status: int, headers: dict[str, str] | None = None, **fields: Any
) -> Answer:
    """Build an error answer, as the protocol writes them."""
    return answer({"error": {"message": message, **fields}}, status, headers)


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Read the request and never answer."""
    time.sleep(3)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send blanks that keep the connection alive, as busy servers do, and never an answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"\n")
        handler.wfile.flush()
        time.sleep(0.05)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Cut the connection with a TCP reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Announce more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


@dataclass
class Server:
    """Gives its answers one by one, the last one for ever; keeps what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [answer(completion())])
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append(json.loads(body))
            state.keys.append(self.headers["Authorization"])
            with suppress(BrokenPipeError, ConnectionResetError):
                state.next_answer()(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda request, address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits between attempts instead of waiting."""
    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append, time=time.time)
    monkeypatch.setattr(openai._base_client, "time", clock)
    return seconds


@pytest.fixture
def chat(server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make chats with that server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(**settings: Any) -> OpenAIChat:
        return OpenAIChat("test-model", server.url, **{"timeout_s": 5.0, "retries": 3, **settings})

    return make


# -- what is sent ---------------------------------------------------------------------------


def test_only_what_is_set_is_sent(chat: Any, server: Server) -> None:
    chat().complete(MESSAGES, purpose="navigator/0")
    assert server.requests == [
        {
            "model": "test-model",
            "messages": [
                {"role": "system", "content": "You design networks."},
                {"role": "user", "content": "Propose one."},
            ],
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_all_parameters_arrive_under_the_names_of_the_protocol(chat: Any, server: Server) -> None:
    model = chat(
        temperature=0.0,
        top_p=0.95,
        max_tokens=100,
        max_completion_tokens=200,
        reasoning_effort="low",
        seed=1,
        extra_body={"top_k": 20, "chat_template_kwargs": {"enable_thinking": True}},
    )
    reply = model.complete(MESSAGES, purpose="navigator/0")
    request = server.requests[0]
    assert request.pop("messages")
    assert 0 <= request.pop("seed") < 2**31
    assert request == {
        "model": "test-model",
        "temperature": 0.0,
        "top_p": 0.95,
        "max_tokens": 100,
        "max_completion_tokens": 200,
        "reasoning_effort": "low",
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": True},
    }
    assert reply.sent == {
        **request,
        "seed": reply.sent["seed"],
        "base_url": server.url,
        "response_format": "text",
    }


def test_the_seed_differs_by_purpose_and_is_the_same_when_asked_again(
    chat: Any, server: Server
) -> None:
    for purpose in ("generator/0", "generator/1", "generator/0"):
        chat(seed=7).complete(MESSAGES, purpose=purpose)
    first, second, again = (request["seed"] for request in server.requests)
    assert first == again != second


def test_a_seed_is_never_claimed_to_be_honoured(chat: Any) -> None:
    assert chat(seed=1).complete(MESSAGES, purpose="g/0").seed_honoured == "unknown"
    assert chat(seed=None).complete(MESSAGES, purpose="g/0").seed_honoured == "no"


def test_a_server_that_needs_no_key_gets_none_of_ours(chat: Any, server: Server) -> None:
    chat(api_key_env=None).complete(MESSAGES, purpose="navigator/0")
    assert server.keys == ["Bearer none"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert chat(retries=0).complete(MESSAGES, purpose="navigator/0").text == "Hello."


# -- what comes back ------------------------------------------------------------------------


def test_a_reply_holds_all_that_the_server_said(chat: Any) -> None:
    reply = chat().complete(MESSAGES, purpose="navigator/0")
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("Hello.", "", "stop")
    assert reply.model == "test-model-2025-01-01"
    assert reply.fingerprint == "fp_44709d6fcb"
    assert reply.usage == Usage(input=120, output=80, reasoning=50, cached=64)
    assert reply.attempts == 1
    assert (reply.cost_usd, reply.price_source) == (0.0, "own server")


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "42", "reasoning_content": "6 * 7"}, "42", "6 * 7"),
        ({"content": "42", "reasoning": "6 * 7"}, "42", "6 * 7"),
        ({"content": "<think>\n6 * 7\n</think>\n\n42"}, "42", "6 * 7"),
        ({"content": "6 * 7\n</think>\n\n42"}, "42", "6 * 7"),
        ({"content": "<think>6 * 7, that is"}, "", "6 * 7, that is"),
        ({"content": "a <think>b</think> c <think>d</think> e"}, "a  c  e", "b\nd"),
        ({"content": "<think>b</think>c", "reasoning_content": "a"}, "c", "a\nb"),
        ({"content": " 42\n"}, " 42\n", ""),
        ({"content": None, "reasoning": "6 * 7, that"}, "", "6 * 7, that"),
    ],
)
def test_reasoning_is_split_off(
    chat: Any, server: Server, message: dict[str, Any], text: str, reasoning: str
) -> None:
    server.answers = [answer(completion(**message))]
    reply = chat().complete(MESSAGES, purpose="navigator/0")
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("body", "text", "finish_reason"),
    [
        (completion("", "stop"), "", "stop"),
        (completion('{"cell": "33', "length"), '{"cell": "33', "length"),
        (completion(None, "content_filter"), "", "content_filter"),
        (completion(None, "stop", refusal="I cannot."), "I cannot.", "refusal"),
    ],
)
def test_empty_cut_and_refused_answers_are_for_the_strategy_to_judge(
    chat: Any, server: Server, body: Any, text: str, finish_reason: str
) -> None:
    server.answers = [answer(body)]
    reply = chat().complete(MESSAGES, purpose="generator/0")
    assert (reply.text, reply.finish_reason) == (text, finish_reason)
    assert len(server.requests) == 1


def test_nothing_is_cut_off_a_long_answer(chat: Any, server: Server) -> None:
    text = "ü" * 2_000_000
    server.answers = [answer(completion(text))]
    assert chat().complete(MESSAGES, purpose="generator/0").text == text


def test_an_answer_without_usage_costs_an_unknown_sum_unless_the_server_is_ours() -> None:
    estimated = Usage(100, 20, estimated=True)
    assert module._price("gpt-4.1", "gpt-4.1", "https://api.openai.com/v1", estimated)[0] is None
    assert module._price("gpt-4.1", "gpt-4.1", "http://localhost:8000/v1", estimated)[0] == 0


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, Usage(10, 2, estimated=True)),
        ({}, Usage(10, 2, estimated=True)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(10, 2, estimated=True)),
        ({"total_tokens": 40, "prompt_tokens": 20}, Usage(20, 20)),
        ({"prompt_tokens": 20}, Usage(20, 2, estimated=True)),
        ({"completion_tokens": 9}, Usage(10, 9, estimated=True)),
        ({"prompt_tokens": 20, "completion_tokens": 9}, Usage(20, 9)),
    ],
)
def test_what_a_server_does_not_count_is_estimated_and_marked(
    chat: Any, server: Server, usage: Any, read: Usage
) -> None:
    server.answers = [answer({**completion("Hello."), "usage": usage})]
    reply = chat().complete(MESSAGES, purpose="navigator/0")
    assert reply.usage == read


def test_hidden_thoughts_of_a_cut_answer_count_as_all_that_was_allowed(
    chat: Any, server: Server
) -> None:
    server.answers = [answer({**completion("", "length"), "usage": None})]
    reply = chat(max_completion_tokens=5000).complete(MESSAGES, purpose="navigator/0")
    assert (reply.usage.output, reply.usage.estimated) == (5000, True)


def test_a_cap_on_tokens_holds_where_the_server_counts_none(
    chat: Any, server: Server, tmp_path: Path
) -> None:
    server.answers = [answer({**completion("word " * 100), "usage": None})]
    ledger = Ledger(tmp_path / "llm_calls.jsonl", Caps(tokens=300))
    model = LedgeredChat(chat(), ledger)
    for index in range(3):
        model.complete(MESSAGES, purpose=f"navigator/{index}")
    with pytest.raises(CapReached, match=r"caps\.tokens is reached: 330 of 300"):
        model.complete(MESSAGES, purpose="navigator/3")
    assert len(server.requests) == 3
    assert Ledger(ledger.path).totals().estimated == 3


def test_a_scripted_server_never_passes_for_a_language_model() -> None:
    assert OpenAIChat("gpt-4.1").is_language_model
    assert not OpenAIChat("scripted-sensible").is_language_model


# -- structured output ----------------------------------------------------------------------


def test_the_schema_goes_to_the_server(chat: Any, server: Server) -> None:
    reply = chat().complete(MESSAGES, purpose="generator/0", schema=SCHEMA)
    assert server.requests[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    assert reply.sent["response_format"] == "json_schema"


def test_auto_steps_down_once_and_remembers(chat: Any, server: Server) -> None:
    server.answers = [
        error("Invalid parameter: 'response_format' of type 'json_schema'", 400),
        error("unsupported", 422, param="response_format.type"),
        answer(completion()),
    ]
    model = chat()
    first = model.complete(MESSAGES, purpose="generator/0", schema=SCHEMA)
    second = model.complete(MESSAGES, purpose="generator/1", schema=SCHEMA)
    types = [r.get("response_format", {}).get("type") for r in server.requests]
    assert types == ["json_schema", "json_object", None, None]
    assert (first.attempts, second.attempts) == (3, 1)
    assert first.sent["response_format"] == "text"


def test_a_chosen_format_is_not_replaced_by_another(chat: Any, server: Server) -> None:
    server.answers = [error("response_format is not supported", 400)]
    with pytest.raises(LLMUnavailable, match="response_format is not supported"):
        chat(structured="json_object").complete(MESSAGES, purpose="g/0", schema=SCHEMA)
    assert [r["response_format"] for r in server.requests] == [{"type": "json_object"}]


# -- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failing",
    [
        error("Rate limit reached", 429),
        error("The server had an error", 500),
        error("Overloaded", 529),
        answer("<html>Bad gateway</html>", 502, kind="text/html"),
        reset,
        cut,
        answer("<html>Please log in</html>", kind="text/html"),
        answer("upstream timed out", kind="application/json"),
        answer({"error": {"message": "No provider", "code": 502}}),
        answer({"choices": []}),
        answer({"choices": [{"message": None}]}),
        answer("[" * 100_000),
        answer("null"),
        answer(""),
    ],
)
def test_what_may_pass_is_retried_and_counted(
    chat: Any, server: Server, waits: list[float], failing: Answer
) -> None:
    server.answers = [failing, failing, answer(completion())]
    reply = chat().complete(MESSAGES, purpose="navigator/0")
    assert (reply.text, reply.attempts, len(waits)) == ("Hello.", 3, 2)


@pytest.mark.parametrize(
    ("failing", "remedy"),
    [
        (error("Unsupported parameter: 'temperature'", 400), "llm.model.temperature=null"),
        (error("Incorrect API key provided", 401), "OPENAI_API_KEY"),
        (error("Insufficient Balance", 402), "llm="),
        (error("Country not supported", 403), "OPENAI_API_KEY"),
        (error("The model does not exist", 404), "llm.model.model"),
        (error("You exceeded your quota", 429, code="insufficient_quota"), "exceeded your quota"),
    ],
)
def test_what_will_not_pass_is_not_retried(
    chat: Any, server: Server, waits: list[float], failing: Answer, remedy: str
) -> None:
    server.answers = [failing]
    with pytest.raises(LLMUnavailable, match=remedy) as caught:
        chat().complete(MESSAGES, purpose="navigator/0")
    assert "the same command continues" in str(caught.value)
    assert (len(server.requests), waits) == (1, [])


def test_after_the_last_attempt_the_message_says_what_happened(
    chat: Any, server: Server, waits: list[float]
) -> None:
    server.answers = [error("The engine is overloaded", 503)]
    with pytest.raises(LLMUnavailable) as caught:
        chat(retries=2).complete(MESSAGES, purpose="navigator/0")
    assert f"test-model at {server.url} gave no answer in 3 attempts" in str(caught.value)
    assert "HTTP 503: The engine is overloaded" in str(caught.value)
    assert len(server.requests) == 3


def test_waits_grow(chat: Any, server: Server, waits: list[float]) -> None:
    server.answers = [error("overloaded", 503)]
    with pytest.raises(LLMUnavailable):
        chat(retries=4).complete(MESSAGES, purpose="navigator/0")
    for wait, expected in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert 0.75 * expected <= wait <= expected


def test_retry_after_is_honoured(chat: Any, server: Server, waits: list[float]) -> None:
    server.answers = [error("slow down", 429, {"Retry-After": "17"}), answer(completion())]
    chat().complete(MESSAGES, purpose="navigator/0")
    assert 17 <= waits[0] <= 17.25


def test_retry_after_may_be_a_date(chat: Any, server: Server, waits: list[float]) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    server.answers = [error("slow down", 429, {"Retry-After": date}), answer(completion())]
    chat().complete(MESSAGES, purpose="navigator/0")
    assert 28 <= waits[0] <= 30.5


def test_a_server_that_asks_for_an_hour_ends_the_search(
    chat: Any, server: Server, waits: list[float]
) -> None:
    server.answers = [error("daily limit", 429, {"Retry-After": "3600"})]
    with pytest.raises(LLMUnavailable, match=r"asks to wait \(Retry-After: 3600\)"):
        chat().complete(MESSAGES, purpose="navigator/0")
    assert waits == []


@pytest.mark.parametrize("stuck", [hang, drip])
def test_a_hang_ends_with_the_time_limit(chat: Any, server: Server, stuck: Answer) -> None:
    server.answers = [stuck]
    with pytest.raises(LLMUnavailable, match=r"no complete answer within 0\.2 s"):
        chat(timeout_s=0.2, retries=0).complete(MESSAGES, purpose="navigator/0")


def test_no_server_at_all(waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    with pytest.raises(LLMUnavailable, match=r"refused.*Check that the server runs"):
        OpenAIChat("m", url, None, retries=1).complete(MESSAGES, purpose="navigator/0")


# -- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\u2026"])
def test_a_missing_key_names_the_variable_and_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    model = OpenAIChat("gpt-4.1", api_key_env="MY_KEY")  # making it needs no key
    with pytest.raises(LLMUnavailable, match=r"MY_KEY.*llm=local"):
        model.complete(MESSAGES, purpose="navigator/0")


def test_the_key_appears_nowhere(
    chat: Any, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    masked = "sk-proj-*****************ghij"
    server.answers = [
        error(f"Incorrect API key provided: {KEY} ({masked})", 500),
        answer(f"Authorization: Bearer {KEY}", kind="text/plain"),
        answer(completion(f"Your key is {KEY}.")),
    ]
    model = chat(retries=2)
    reply = model.complete(MESSAGES, purpose="navigator/0")
    server.answers = [error(f"Incorrect API key provided: {KEY} ({masked})", 401)]
    with pytest.raises(LLMUnavailable) as caught:
        model.complete(MESSAGES, purpose="navigator/1")
    assert reply.text == "Your key is [key]."
    assert caught.value.__cause__ is caught.value.__context__ is None
    shown = [str(caught.value), repr(model), str(vars(model)), str(model.settings), repr(reply)]
    for text in [*shown, caplog.text]:
        assert KEY not in text
        assert "ghij" not in text


def test_an_address_with_a_secret_is_refused() -> None:
    for url in ("https://user:secret@host/v1", "https://host/v1?key=secret"):
        with pytest.raises(ValueError, match=r"llm\.model\.base_url must hold no") as caught:
            OpenAIChat("m", url)
        assert "secret" not in str(caught.value)


def test_an_address_with_a_secret_from_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@host/v1")
    with pytest.raises(LLMUnavailable, match="OPENAI_BASE_URL must hold no user"):
        OpenAIChat("m").complete(MESSAGES, purpose="navigator/0")


def test_all_wrong_settings_are_named_at_once() -> None:
    wrong = {"structured": "xml", "timeout_s": 0, "retries": -1, "answer_in": "tea"}
    model = {"_target_": "collm_nas.llm.openai.OpenAIChat", "model": "m", **wrong}
    with pytest.raises(UserError) as caught:
        build(OmegaConf.create({"llm": {"model": model}}).llm.model)
    for key in wrong:
        assert f"llm.model.{key}" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("host:8000", "https://host/v1"),
        ("https://host/v1/chat/completions", "must end before /chat/completions"),
        (
            "https://r.openai.azure.com/openai/deployments/d?api-version=2025-01-01-preview",
            r"model=d llm\.model\.base_url=https://r\.openai\.azure\.com/openai/v1/",
        ),
        ("https://r.openai.azure.com/openai/deployments/d", r"azure\.com/openai/v1/"),
    ],
)
def test_a_wrong_address_is_refused_with_what_to_write(url: str, instead: str) -> None:
    with pytest.raises(ValueError, match=instead):
        OpenAIChat("m", url)


def test_settings_hold_what_an_answer_depends_on() -> None:
    def settings(**changes: Any) -> Any:
        return OpenAIChat("m", **{"temperature": 0.6, "seed": 0, **changes}).settings

    for change in ({"temperature": 0.7}, {"seed": 1}, {"extra_body": {"top_k": 2}}, {"top_p": 0.5}):
        assert settings(**change) != settings()
    for change in ({"timeout_s": 1.0}, {"retries": 0}, {"base_url": "http://other/v1"}):
        assert settings(**change) == settings()
