"""OpenAIChat against servers that are slow, broken, or mean it badly, over real sockets.

Whatever they do, a call ends within its time with a reply or with one short message that names what
happened, and holds no key.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from collm_nas.llm import bounded
from collm_nas.llm.base import LLMUnavailable, Message, Reply, Usage
from collm_nas.llm.bounded import MAX_BODY_BYTES, MAX_ERROR_BYTES
from collm_nas.llm.counting import estimated_tokens
from collm_nas.llm.openai import OpenAIChat
from tests.llm.hostile import (
    HostileServer,
    Script,
    bomb,
    completion,
    drip,
    endless,
    hostile_server,
    once,
    response,
    seconds_of,
)

KEY = "sk-proj-AbC/dEf+0123456789xyzXYZ"
MESSAGES = [Message("system", "You design networks."), Message("user", "Propose one.")]
SCHEMA = {"type": "object", "properties": {"cell": {"type": "string"}}, "required": ["cell"]}
GOOD = completion("Hello.", usage={"prompt_tokens": 10, "completion_tokens": 2})
JSON = b"Content-Type: application/json\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + JSON
TIMEOUT_S = 0.4
CERTIFICATES = ssl.create_default_context()


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server() as state:
        yield state


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append, time=time.time)
    monkeypatch.setattr(openai._base_client, "time", clock)
    return seconds


@pytest.fixture
def chat(server: HostileServer, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # Reading the certificates anew for each of these models would take most of the time.
    transport = partial(httpx2.HTTPTransport, verify=CERTIFICATES)
    monkeypatch.setattr(bounded.httpx2, "HTTPTransport", transport)

    def make(*scripts: Script, **settings: Any) -> OpenAIChat:
        server.scripts = list(scripts)
        settings = {"timeout_s": 5.0, "retries": 0, **settings}
        model = OpenAIChat("test-model", server.url, **settings)
        model.client.chat.completions  # noqa: B018 (imports the library, which is no attempt's time)
        return model

    return make


def reply_to(model: OpenAIChat, schema: Any = None) -> Reply:
    return model.complete(MESSAGES, purpose="generator/0", schema=schema)


def failure_of(model: OpenAIChat, schema: Any = None) -> str:
    with pytest.raises(LLMUnavailable) as caught:
        reply_to(model, schema)
    assert caught.value.__cause__ is caught.value.__context__ is None
    message = str(caught.value)
    assert len(message) < 1500
    assert "\n" not in message
    return message


def parts(*content: Any) -> dict[str, Any]:
    return completion({"role": "assistant", "content": list(content)})


def text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


# -- the time of an attempt ------------------------------------------------------------------

SLOW = {
    "silence": once(30.0),
    "status line by bytes": drip(OK * 9),
    "headers by bytes": drip(OK + b"X-A: b\r\n" * 500),
    "headers one by one": endless(OK, b"X-A: b\r\n", 0.02),
    "headers at full speed": endless(OK, b"X-A: b\r\n" * 50),
    "provisional answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "provisional answers at full speed": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9),
    "provisional answers with headers": endless(b"", b"HTTP/1.1 102 P\r\nA: b\r\n\r\n", 0.01),
    "blank lines before the answer": endless(b"", b"\r\n", 0.02),
    "headers, then silence": once(OK + b"Content-Length: 10\r\n\r\n", 30.0),
    "body by bytes": drip(response(GOOD), 0.05),
    "blanks for ever": endless(OK + b"\r\n", b"\n", 0.02),
    "chunks for ever": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.02),
    "a chunk header for ever": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a", 0.02),
    "trailers for ever": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.02
    ),
    "an error by bytes": drip(response({"error": {"message": "x" * 500}}, 500), 0.02),
    "an error for ever": endless(b"HTTP/1.1 503 No\r\n\r\n", b"x", 0.02),
    "an error of blank chunks for ever": endless(
        b"HTTP/1.1 429 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.02
    ),
    "gzip by bytes": drip(
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 9999, 0), 0.02
    ),
    "gzip of nothing for ever": endless(
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b"\0\0\0\xff\xff", 0.02
    ),
    "an upgrade, then silence": once(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", 30.0),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_an_attempt_ends_in_time_whatever_the_server_does(chat: Any, script: Script) -> None:
    model = chat(script, timeout_s=TIMEOUT_S)
    told: list[str] = []
    assert seconds_of(lambda: told.append(failure_of(model))) < TIMEOUT_S + 1
    assert "test-model" in told[0]


def test_a_server_that_does_not_read_is_left_in_time(chat: Any, server: HostileServer) -> None:
    server.reads = False
    model = chat(once(30.0), timeout_s=TIMEOUT_S)
    long = [Message("user", "x" * 20_000_000)]

    def ask() -> None:
        with pytest.raises(LLMUnavailable, match=r"no complete answer within 0\.4 s"):
            model.complete(long, purpose="generator/0")

    assert seconds_of(ask) < TIMEOUT_S + 2


@pytest.mark.slow
def test_one_byte_a_second_does_not_hold_an_attempt_for_longer_than_it_may_take(chat: Any) -> None:
    """Each read ends long before a read's time-out of 3 s: only the whole attempt's can end it."""
    model = chat(drip(OK * 9, 1.0), timeout_s=3.0)
    assert 2.5 < seconds_of(lambda: failure_of(model)) < 4.5


def test_a_slow_but_whole_answer_is_read(chat: Any) -> None:
    assert reply_to(chat(drip(response(GOOD), 0.001))).text == "Hello."


def test_time_runs_for_each_attempt_anew(chat: Any) -> None:
    model = chat(once(30.0), once(30.0), once(response(GOOD)), timeout_s=TIMEOUT_S, retries=2)
    reply = reply_to(model)
    assert (reply.text, reply.attempts) == ("Hello.", 3)
    assert reply.failures == ["no complete answer within 0.4 s"] * 2


# -- sizes and encodings ---------------------------------------------------------------------


def compressed(data: bytes, encoding: str, status: int = 200) -> Script:
    return once(response(data, status, {"Content-Encoding": encoding}))


DATA = json.dumps(GOOD).encode()
RAW_DEFLATE = zlib.compressobj(wbits=-15)
READABLE = {
    "gzip": compressed(gzip.compress(DATA), "gzip"),
    "x-gzip": compressed(gzip.compress(DATA), "X-GZip"),
    "deflate": compressed(zlib.compress(DATA), "deflate"),
    "identity": compressed(DATA, "identity"),
    "no length": once(response(DATA, length=False)),
    "a byte order mark": once(response(b"\xef\xbb\xbf" + DATA)),
    "utf-16": once(response(json.dumps(GOOD).encode("utf-16"))),
    "an unknown charset": once(response(DATA, headers={"Content-Type": "a/b; charset=zlib_codec"})),
    "html it says": once(response(DATA, headers={"Content-Type": "text/html"})),
    "no content type": once(b"HTTP/1.1 200 OK\r\n\r\n" + DATA),
    "http/1.0": once(b"HTTP/1.0 200 OK\r\n\r\n" + DATA),
    "provisional answers first": once(b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + response(DATA)),
    "chunks": once(
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)
    ),
    "blanks around": once(response(b"\n" * 1000 + DATA + b"\n" * 1000)),
    "many headers": once(response(DATA, headers={f"X-{i}": "y" * 90 for i in range(90)})),
}


@pytest.mark.parametrize("script", READABLE.values(), ids=READABLE)
def test_odd_but_right_answers_are_read(chat: Any, script: Script) -> None:
    assert reply_to(chat(script)).text == "Hello."


UNREADABLE = {
    "an endless body": (endless(OK + b"\r\n", b" " * 65536), "more than 16,777,216 bytes"),
    "a compressed bomb": (compressed(bomb(100), "gzip"), "more than 16,777,216 bytes"),
    "brotli": (compressed(DATA, "br"), "encoding 'br', which was not asked"),
    "zstd": (compressed(DATA, "zstd"), "encoding 'zstd'"),
    "gzip twice": (compressed(gzip.compress(gzip.compress(DATA)), "gzip, gzip"), "gzip, gzip"),
    "a damaged gzip": (compressed(b"\x1f\x8bnonsense", "gzip"), "gzip encoding is damaged"),
    "gzip it says": (compressed(DATA, "gzip"), "gzip encoding is damaged"),
    "half a gzip": (compressed(gzip.compress(DATA)[:40], "gzip"), "not a chat completion"),
    "an encoding of a megabyte": (compressed(DATA, "x" * 50_000), "encoding 'xxx"),
    "a header without end": (endless(OK + b"X: ", b"y" * 65536), "connection failed"),
    "a status line without end": (endless(b"HTTP/1.1 200 ", b"y" * 65536), "connection failed"),
    "no http": (once(b"SSH-2.0-OpenSSH_9.6\r\n"), "connection failed"),
    "http/2": (once(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "connection failed"),
    "two lengths": (once(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), "failed"),
    "a negative length": (once(OK + b"Content-Length: -5\r\n\r\n"), "connection failed"),
    "a length of words": (once(OK + b"Content-Length: many\r\n\r\n"), "connection failed"),
    "a header without name": (once(OK + b": x\r\n\r\n"), "connection failed"),
    "a folded header": (once(b"HTTP/1.1 200 OK\r\n folded\r\n\r\n"), "connection failed"),
    "a chunk of words": (
        once(OK + b"Transfer-Encoding: chunked\r\n\r\nmany\r\n"),
        "connection failed",
    ),
    "less than announced": (once(OK + b"Content-Length: 99\r\n\r\n{"), "connection failed"),
    "nothing at all": (once(b""), "connection failed"),
    "an empty body": (once(response(b"")), "not a chat completion .* \\(nothing\\)"),
    "no content": (once(response(b"", 204)), "not a chat completion"),
    "no utf-8": (once(response(b"\xff\xfe\xfa")), "not a chat completion"),
    "a web page": (once(response(b"<html>Log in</html>")), "<html>Log in</html>"),
    "a stream": (once(response(b"data: {}\n\ndata: [DONE]\n\n")), "not a chat completion"),
    "null": (once(response(None)), "not a chat completion"),
    "a list": (once(response([])), "not a chat completion"),
    "a number": (once(response(1e300)), "not a chat completion"),
    "brackets": (once(response(b"[" * 200_000)), "not a chat completion"),
    "objects in objects": (once(response(b'{"a":' * 200_000)), "not a chat completion"),
    "a number of a million digits": (once(response(b"9" * 10**6)), "not a chat completion"),
    "no choices": (once(response({"choices": []})), "not a chat completion"),
    "choices of null": (once(response({"choices": None})), "not a chat completion"),
    "choices by name": (once(response({"choices": {"0": {}}})), "not a chat completion"),
    "a choice of text": (once(response({"choices": ["hi"]})), "not a chat completion"),
    "a completion of old": (once(response({"choices": [{"text": "hi"}]})), "not a chat"),
    "a message of null": (once(response({"choices": [{"message": None}]})), "without a message"),
    "a message of text": (once(response({"choices": [{"message": "hi"}]})), "without a message"),
}


@pytest.mark.parametrize(("script", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_answer_ends_in_one_message(chat: Any, script: Script, why: str) -> None:
    assert re.search(why, failure_of(chat(script)))


@pytest.mark.parametrize(
    "script",
    [
        compressed(bomb(100), "gzip"),
        compressed(bomb(100), "gzip", 500),
        endless(OK + b"\r\n", b"[" * 65536),
        endless(b"HTTP/1.1 503 No\r\n\r\n", b"x" * 65536),
    ],
    ids=["bomb", "bomb in an error", "endless", "endless error"],
)
def test_memory_is_bounded(chat: Any, server: HostileServer, script: Script) -> None:
    model = chat(script)
    tracemalloc.start()
    try:
        failure_of(model)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


def test_little_of_an_endless_error_is_read(chat: Any, server: HostileServer) -> None:
    failure_of(chat(endless(b"HTTP/1.1 503 No\r\n\r\n", b"x" * 4096)))
    assert server.bytes_sent < MAX_ERROR_BYTES + 16 * 2**20  # what sockets hold on the way


def test_no_compression_is_asked_for(chat: Any, server: HostileServer) -> None:
    reply_to(chat(once(response(GOOD))))
    assert "accept-encoding: identity" in server.heads[0].lower()


# -- what an answer says ---------------------------------------------------------------------

A = '{"cell": "a"}'
SHAPES = {
    "text": (completion(A), A, ""),
    "text in a part": (parts(text(A)), A, ""),
    "a part that is text": (parts(A), A, ""),
    "one part, no list": (completion({"content": text(A)}), A, ""),
    "parts of an answer": (parts(text(A[:5]), text(A[5:])), A, ""),
    "output_text": (parts({"type": "output_text", "text": A}), A, ""),
    "a part without type": (parts({"text": A}), A, ""),
    "thinking part of text": (parts({"type": "thinking", "thinking": "b"}, text(A)), A, "b"),
    "thinking part of parts": (
        parts({"type": "thinking", "thinking": [text("b"), text("c")]}, text(A)),
        A,
        "b\nc",
    ),
    "reasoning part": (
        parts({"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}]}, text(A)),
        A,
        "b",
    ),
    "a thought of Gemini": (parts({"text": "b", "thought": True}, text(A)), A, "b"),
    "thinking part after the text": (parts(text(A), {"type": "thinking", "text": "b"}), A, "b"),
    "an empty part": (parts({}, text(A)), A, ""),
    "null parts": (parts(None, text(A)), A, ""),
    "reasoning_content": (completion({"content": A, "reasoning_content": "b"}), A, "b"),
    "reasoning": (completion({"content": A, "reasoning": "b"}), A, "b"),
    "thinking": (completion({"content": A, "thinking": "b"}), A, "b"),
    "reasoning_details": (
        completion({"content": A, "reasoning_details": [{"type": "reasoning.text", "text": "b"}]}),
        A,
        "b",
    ),
    "thinking_blocks": (
        completion({"content": A, "thinking_blocks": [{"type": "thinking", "thinking": "b"}]}),
        A,
        "b",
    ),
    "reasoning twice": (
        completion({"content": A, "reasoning": "b", "reasoning_details": [text("b")]}),
        A,
        "b",
    ),
    "reasoning as an object": (completion({"content": A, "reasoning": {"content": "b"}}), A, "b"),
    "reasoning as a number": (completion({"content": A, "reasoning": 5}), A, ""),
    "answer in the reasoning": (completion({"content": None, "reasoning_content": A}), "", A),
    "think": (completion(f"<think>b</think>{A}"), A, "b"),
    "thinking tag": (completion(f"<thinking>b</thinking>\n{A}"), A, "b"),
    "capitals": (completion(f"<THINK>b</THINK>{A}"), A, "b"),
    "thought": (completion(f"<thought>b</thought>{A}"), A, "b"),
    "reasoning tag": (completion(f"<reasoning>b</reasoning>{A}"), A, "b"),
    "prefixed": (completion(f"<seed:think>b</seed:think>{A}"), A, "b"),
    "prefixed by a name": (completion(f"<longcat_think>b</longcat_think>{A}"), A, "b"),
    "with attributes": (completion(f'<think budget="9">b</think>{A}'), A, "b"),
    "brackets": (completion(f"[THINK]b[/THINK]{A}"), A, "b"),
    "triangles": (completion(f"◁think▷b◁/think▷{A}"), A, "b"),
    "special tokens": (
        completion(f"<|begin_of_thought|>b<|end_of_thought|>{A}"),
        A,
        "b",
    ),
    "command": (completion(f"<|START_THINKING|>b<|END_THINKING|>{A}"), A, "b"),
    "gemma": (completion(f"<|channel>thought\nb<channel|>{A}"), A, "b"),
    "granite": (
        completion(f"Here is my thought process: b\nHere is my response: {A}"),
        A,
        "b",
    ),
    "only the end": (completion(f"b</think>{A}"), A, "b"),
    "no end": (completion(f"<think>b {A}"), "", f"b {A}"),
    "an end of another kind": (completion(f"<think>b</thinking>{A}"), A, "b"),
    "two blocks": (completion(f"<think>b</think><think>c</think>{A}"), A, "b\nc"),
    "blocks in blocks": (completion(f"<think>b<think>c</think>d</think>{A}"), A, "d\nb<think>c"),
    "channels": (
        completion(
            f"<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>{A}"
        ),
        A,
        "b",
    ),
    "channels in full": (
        completion(
            f"<|start|>assistant<|channel|>analysis<|message|>b<|end|><|start|>assistant"
            f"<|channel|>final <|constrain|>json<|message|>{A}<|return|>"
        ),
        A,
        "b",
    ),
    "channels begun in the prompt": (
        completion(f"b<|end|><|start|>assistant<|channel|>final<|message|>{A}"),
        A,
        "b",
    ),
    "three channels": (
        completion(
            f"<|channel|>analysis<|message|>b<|end|><|channel|>commentary to=x<|message|>c<|call|>"
            f"<|channel|>final<|message|>{A}"
        ),
        A,
        "b\nc",
    ),
    "no final channel": (completion(f"<|channel|>analysis<|message|>b {A}"), "", f"b {A}"),
    "channels without their tokens": (completion(f"analysisWe b.assistantfinal{A}"), A, "We b."),
    "thoughts in the final channel": (
        completion(f"<|channel|>final<|message|><think>b</think>{A}"),
        A,
        "b",
    ),
    "a refusal": (completion({"content": None, "refusal": "No."}), "No.", ""),
    "a refusal in a part": (parts({"type": "refusal", "refusal": "No."}), "No.", ""),
    "an object for a finish reason": (completion(A, {"reason": 1}), A, ""),
    "unknown fields": (completion(A, colour="red", choices2=[1]), A, ""),
}


@pytest.mark.parametrize(("body", "answer", "reasoning"), SHAPES.values(), ids=SHAPES)
def test_answers_and_thoughts_are_told_apart(
    chat: Any, body: Any, answer: str, reasoning: str
) -> None:
    reply = reply_to(chat(once(response(body))))
    assert (reply.text.strip(), reply.reasoning) == (answer, reasoning)
    assert reply.unread == ""


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (parts({"type": "image_url", "image_url": "x"}), "image_url"),
        (parts({"type": "text", "text": {"value": "x"}}), "value"),
        (completion({"content": 5}), "5"),
        (parts([text("x")]), "text"),
        (completion({"content": None, "tool_calls": [{"function": {"name": "f"}}]}), "function"),
    ],
)
def test_content_of_an_unknown_kind_is_kept_and_not_read(chat: Any, body: Any, kept: str) -> None:
    reply = reply_to(chat(once(response(body))))
    assert reply.text == ""
    assert kept in reply.unread


def test_parts_nested_beyond_measure_are_no_trouble(chat: Any) -> None:
    for depth in (30, 300):
        nest = b'[{"type":"thinking","thinking":' * depth + b'"b"' + b"}]" * depth
        body = b'{"choices":[{"message":{"content":' + nest + b"}}]}"
        assert reply_to(chat(once(response(body)))).text == ""


def test_the_reasoning_is_read_where_the_user_says_so(chat: Any) -> None:
    script = once(response(completion({"content": None, "reasoning_content": A})))
    reply = reply_to(chat(script, answer_in="reasoning"))
    assert (reply.text, reply.reasoning) == (A, "")
    usual = once(response(completion({"content": A, "reasoning_content": "b"})))
    reply = reply_to(chat(usual, answer_in="reasoning"))
    assert (reply.text, reply.reasoning) == (A, "b")


USAGES = {
    "as it should be": ((500, 300, 800, 100), Usage(500, 300, 100)),
    "reasoning beside (xAI)": ((500, 300, 20_800, 20_000), Usage(500, 20_300, 20_000)),
    "reasoning beside, no total": ((500, 300, None, 20_000), Usage(500, 20_300, 20_000)),
    "reasoning beside, not told (Gemini)": ((500, 300, 20_800, None), Usage(500, 20_300)),
    "no total": ((500, 300, None, None), Usage(500, 300)),
    "a total that is too small": ((500, 300, 10, None), Usage(500, 300)),
    "only a total": ((None, None, 800, None), Usage(0, 800)),
    "decimals": ((500.0, 300.0, 800.0, None), Usage(500, 300)),
    "negative": ((-5, 300, None, None), Usage(10, 300, estimated=True)),
    "words": (("many", 300, "all", None), Usage(10, 300, estimated=True)),
    "true": ((True, 300, None, None), Usage(10, 300, estimated=True)),
    "beyond all measure": ((500, 300, 10**40, None), Usage(500, 300)),
    "infinite": ((500, 300, 1e999, None), Usage(500, 300)),
}


@pytest.mark.parametrize(("counts", "usage"), USAGES.values(), ids=USAGES)
def test_every_token_that_is_charged_is_counted(chat: Any, counts: Any, usage: Usage) -> None:
    prompt, written, total, thought = counts
    told = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": total}
    if thought is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": thought}
    assert reply_to(chat(once(response(completion(A, usage=told))))).usage == usage


@pytest.mark.parametrize("usage", [None, [], "none", {}, {"prompt_tokens": 0}, {"a": 1}])
def test_an_answer_without_counts_is_an_answer(chat: Any, usage: Any) -> None:
    reply = reply_to(chat(once(response(completion(A, usage=usage)))))
    assert reply.usage == Usage(10, estimated_tokens(A), estimated=True)


# -- refusals --------------------------------------------------------------------------------


def error(message: str, status: int = 400, **fields: Any) -> Script:
    return once(response({"error": {"message": message, **fields}}, status))


REFUSALS = {
    "OpenAI's context": (
        error(
            "This model's maximum context length is 8192 tokens. However, you requested 9000 "
            "tokens (904 in the messages, 8096 in the completion).",
            code="context_length_exceeded",
        ),
        r"8192 tokens.*outgrown the context.*llm\.model\.max_completion_tokens=.*base_url=",
    ),
    "vLLM's context": (
        error("max_tokens is too large: 9. This model's maximum context length is 8192 tokens"),
        "outgrown the context",
    ),
    "llama.cpp's context": (
        error("the request exceeds the available context size", type="exceed_context_size_error"),
        "outgrown the context",
    ),
    "Anthropic's context": (
        error("prompt is too long: 210000 tokens > 200000 maximum"),
        "outgrown the context",
    ),
    "Gemini's context": (
        once(
            response(
                [{"error": {"message": "The input token count (9) exceeds the maximum of 8"}}], 400
            )
        ),
        "outgrown the context",
    ),
    "xAI's context": (error("maximum prompt length is 131072 but got 140000"), "outgrown"),
    "Qwen's context": (error("Range of input length should be [1, 30720]"), "outgrown"),
    "a temperature": (error("Unsupported value: 'temperature'"), "temperature=null"),
    "a wrong key": (error("Incorrect API key", 401), "Check the key in OPENAI_API_KEY"),
    "no money": (error("Insufficient balance", 402), "Pay the provider"),
    "no model": (error("No such model", 404), r"llm\.model\.model"),
    "an error as text": (once(response({"error": "out of order"}, 400)), "out of order"),
    "an error as a list": (once(response([{"error": {"message": "oh"}}], 400)), "oh"),
    "a detail": (once(response({"detail": "Not Found"}, 404)), "Not Found"),
    "details": (once(response({"detail": [{"msg": "bad"}]}, 422)), "bad"),
    "a message": (once(response({"message": "go away", "error": None}, 400)), "go away"),
    "an error without a body": (once(response(b"", 400)), "HTTP 400"),
    "an error of null": (once(response(None, 400)), "HTTP 400"),
    "an error of brackets": (once(response(b"[" * 60_000, 400)), "HTTP 400"),
    "an error as a page": (once(response(b"<html>" + b"x" * 9999, 403)), "HTTP 403: <html>xxx"),
    "a long error": (error("y" * 60_000), "yyy…"),
    "an error of megabytes": (once(response(b'{"error": "' + b"z" * 2**21, 400)), "zzz…"),
    "a code of its own": (error("hm", 599), "HTTP 599: hm"),
    "a code of an object": (error("hm", code={"a": [1]}, param=[], type=7), "hm"),
    "an error inside of a success": (
        once(response({"error": {"message": "no credit", "code": 402}})),
        "HTTP 402: no credit",
    ),
    "an error inside of a choice": (
        once(
            response({"choices": [{"message": {"content": ""}, "error": {"message": "cut off"}}]})
        ),
        "cut off",
    ),
    "not modified": (once(response(b"", 304)), "HTTP 304"),
}


@pytest.mark.parametrize(("script", "why"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_what_to_do(chat: Any, script: Script, why: str) -> None:
    assert re.search(why, failure_of(chat(script)))


FILTERS = {
    "Azure": (400, {"code": "content_filter", "message": "The response was filtered"}),
    "Azure inside": (
        400,
        {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ),
    "OpenAI": (400, {"code": "invalid_prompt", "message": "violating our usage policy"}),
    "Alibaba": (400, {"code": "data_inspection_failed", "message": "inappropriate content"}),
    "OpenRouter": (403, {"message": "Your input was flagged", "code": 403}),
}


@pytest.mark.parametrize(("status", "fields"), FILTERS.values(), ids=FILTERS)
def test_a_filtered_prompt_is_an_empty_answer_that_says_why(
    chat: Any, server: HostileServer, waits: list[float], status: int, fields: Any
) -> None:
    reply = reply_to(chat(once(response({"error": fields}, status)), retries=3))
    assert (reply.text, reply.finish_reason, reply.attempts) == ("", "content_filter", 1)
    assert f"HTTP {status}: {fields['message']}" in reply.failures[0]
    assert (len(server.requests), waits) == (1, [])


UNFIT = error("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")
UNFIT_SCHEMA = error("Generated JSON does not match the expected schema. Please adjust your prompt")


def formats(server: HostileServer) -> list[str | None]:
    return [r.get("response_format", {}).get("type") for r in server.requests]


@pytest.mark.parametrize("unfit", [UNFIT, UNFIT_SCHEMA], ids=["json", "schema"])
def test_unfit_text_is_tried_again_and_then_asked_for_less_strictly(
    chat: Any, server: HostileServer, unfit: Script
) -> None:
    model = chat(unfit, once(response(GOOD)), retries=6)
    assert reply_to(model, SCHEMA).attempts == 2
    assert formats(server) == ["json_schema"] * 2
    server.scripts = [unfit] * 4 + [once(response(GOOD))]
    reply = reply_to(model, SCHEMA)
    assert formats(server)[2:] == ["json_schema"] * 2 + ["json_object"] * 2 + [None]
    assert (reply.attempts, reply.sent["response_format"], len(reply.failures)) == (5, "text", 4)
    server.scripts = [once(response(GOOD))]
    reply_to(model, SCHEMA)
    assert formats(server)[-1] == "json_schema"  # it was the text's fault, not the format's


def test_unfit_text_ends_with_the_attempts_and_with_advice(chat: Any) -> None:
    message = failure_of(chat(UNFIT, retries=2), SCHEMA)
    assert "3 attempts" in message
    assert "llm.model.structured=text" in message


def test_a_format_that_the_user_chose_is_kept(chat: Any, server: HostileServer) -> None:
    failure_of(chat(UNFIT, retries=3, structured="json_object"), SCHEMA)
    assert formats(server) == ["json_object"] * 4


def test_a_server_that_was_never_there_is_told_at_once(waits: list[float]) -> None:
    with hostile_server() as server:
        url = server.url
    message = failure_of(OpenAIChat("m", url, None, retries=6))
    assert "refused" in message
    assert "Check that the server runs" in message
    assert waits == []


# -- waits -----------------------------------------------------------------------------------

RETRY_AFTER = {
    "0": 0.0,
    "17": 17.0,
    "1.5": 1.5,
    "-3": 0.0,
    "nan": 0.0,
    "Mon, 01 Jan 1900 00:00:00 GMT": 0.0,
    "Mon, 99 Jan 2026 99:99:99 GMT": None,
    "Mon, 01 Jan 99999999999 00:00:00 GMT": None,
    "Mon, 01 Jan 0000 00:00:00 GMT": 0.0,
    "Mon, 01 Jan 2026 00:00:00 +99999999": None,
    "9" * 5000: "hours",
    "Fri, 01 Jan 9999 00:00:00 GMT": "hours",
    "inf": None,
    "1e300": "hours",
    "soon": None,
    ",;,": None,
    "1, 2": None,
    "١٢": None,
}


@pytest.mark.parametrize(("value", "wait"), RETRY_AFTER.items(), ids=lambda v: str(v)[:40])
def test_no_retry_after_is_too_absurd(chat: Any, waits: list[float], value: str, wait: Any) -> None:
    header = f"HTTP/1.1 429 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    model = chat(once(header), once(response(GOOD)), retries=1)
    if wait == "hours":
        assert "asks to wait" in failure_of(model)
        return
    assert reply_to(model).text == "Hello."
    low = wait or 0.375  # the client's own first wait
    assert low <= waits[0] <= low + 0.2


# -- other addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://evil.example/v1/chat/completions?a=b", r"https://evil\.example/v1/chat/com"),
        ("//evil.example", r"http://evil\.example"),
        ("/v2/elsewhere", r"http://127\.0\.0\.1:\d+/v2/elsewhere"),
        ("https://user:secret@evil.example/", r"https://evil\.example/"),
        ("http://[bad", "an address that is none|connection failed"),
        ("x" * 9000, r"http://127\.0\.0\.1"),
    ],
    ids=["host", "scheme", "path", "user", "none", "long"],
)
def test_a_redirect_is_refused_by_name(
    chat: Any, server: HostileServer, status: int, location: str, named: str
) -> None:
    model = chat(once(response(b"", status, {"Location": location})), retries=3)
    message = failure_of(model)
    assert re.search(named, message)
    assert "secret" not in message
    assert "a=b" not in message
    assert len(server.requests) == 1


# -- keys ------------------------------------------------------------------------------------

ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)
SPELLINGS = {
    "plain": KEY,
    "in the middle": f"Your key is {KEY}, yes.",
    "in JSON's escapes": ESCAPED,
    "in capital escapes": ESCAPED.upper().replace("\\U", "\\u"),
    "with a slash escaped": KEY.replace("/", "\\/"),
    "in doubled escapes": ESCAPED.replace("\\", "\\\\"),
    "half": KEY[: len(KEY) // 2],
    "the last eight": KEY[-8:],
    "eight of the middle": KEY[9:17],
    "eight, escaped": "".join(f"\\u{ord(c):04x}" for c in KEY[9:17]),
    "twice": KEY + KEY,
    "a hundred times": KEY * 100,
    "split by thoughts": f"{KEY[:12]}<think></think>{KEY[12:]}",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_no_spelling_of_the_key_survives(
    chat: Any, server: HostileServer, caplog: pytest.LogCaptureFixture, spelling: str
) -> None:
    """It is looked for after parsing twice, as those who read an answer's JSON do."""
    caplog.set_level(logging.DEBUG)
    inside = json.dumps({"cell": spelling})
    raw = f'"{spelling}"'.encode()  # its escapes are JSON's own here
    replies = [
        completion({"content": spelling, "reasoning_content": spelling}, spelling, model=spelling),
        completion(inside, system_fingerprint=spelling),
        completion(f'{{"cell": "{spelling}"}}'),
        parts({"type": "picture", "url": spelling}),
    ]
    model = chat(once(response(GOOD)))

    def to(script: Script) -> OpenAIChat:
        server.scripts = [script]
        return model

    shown = [reply_to(to(once(response(body)))) for body in replies]
    whole = b'{"choices": [{"message": {"content": %s}}], "model": %s}' % (raw, raw)
    shown.append(reply_to(to(once(response(whole)))))
    refusals = [error(spelling, status, code=spelling) for status in (400, 401, 500)]
    refusals += [
        once(response(b'{"error": {"message": %s}}' % raw, 403)),
        once(response(raw, headers={"Content-Type": "text/x"})),
        once(response(b"x", headers={"Content-Type": KEY})),
        once(response(b"", 302, {"Location": f"https://e.example/{KEY}"})),
    ]
    messages = [failure_of(to(script)) for script in refusals]
    everything = "\n".join([*map(repr, shown), *messages])
    for _ in range(3):
        assert not [i for i in range(len(KEY) - 7) if KEY[i : i + 8] in everything]
        everything = _parsed_once_more(everything)


def _parsed_once_more(text: str) -> str:
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return text.replace("\\/", "/").replace("\\\\", "\\")


def test_a_key_that_is_made_of_our_own_words_does_not_spoil_answers(
    chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = chat(once(response(completion('{"architectures": "networks."}'))))
    monkeypatch.setenv("OPENAI_API_KEY", "architectures-of-networks.")
    said = [Message("user", "Write architectures of networks.")]
    reply = model.complete(said, purpose="generator/0")
    assert reply.text == '{"architectures": "networks."}'


def test_keys_are_taken_out_in_linear_time(chat: Any) -> None:
    for content in (KEY * 30_000, KEY[:8] * 100_000, "\\u0073" * 100_000, "\\" * 1_000_000):
        model = chat(once(response(completion(content))))
        assert seconds_of(lambda model=model: reply_to(model)) < 8


# -- a call is named to providers that charge it once ----------------------------------------


def test_a_call_keeps_its_name_when_it_is_repeated(chat: Any, server: HostileServer) -> None:
    def names() -> list[str]:
        lines = "\n".join(server.heads).lower().splitlines()
        return [line for line in lines if line.startswith("idempotency-key: ")]

    reply_to(chat(once(response(GOOD))))
    assert names() == []
    model = chat(
        error("x", 500), once(response(GOOD)), retries=1, idempotency_header="Idempotency-Key"
    )
    reply_to(model)
    model.complete(MESSAGES, purpose="generator/1")
    first, again, other = names()
    assert first == again != other
