"""The fake server, spoken to by the official client and, where that is too polite, by a socket."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from collm_nas.fake_llm.faults import FAULTS
from collm_nas.fake_llm.registry import PERSONAS
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.fake_llm.server import FakeServer, main, serve, spoken_space
from collm_nas.llm.base import PURPOSE_HEADER, Message
from collm_nas.llm.openai import OpenAIChat
from collm_nas.prompting.dialect import dialect_of
from collm_nas.prompting.reading import batch_schema
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import ROOT

SPACE = NASBench201()
DIALECT = dialect_of(SPACE)
SYSTEM = {"role": "system", "content": "You help."}
PURPOSE = {PURPOSE_HEADER: "generator/0"}
MESSAGES: Any = [SYSTEM, {"role": "user", "content": "Write 3 architectures."}]


def client(url: str, timeout: float = 10.0) -> openai.OpenAI:
    http = openai.DefaultHttpx2Client(trust_env=False)
    return openai.OpenAI(
        base_url=url,
        api_key="any",
        max_retries=0,
        timeout=timeout,
        http_client=http,
        default_headers=PURPOSE,
    )


def ask(url: str, **parameters: Any) -> Any:
    return client(url).chat.completions.create(
        **{"model": "any", "messages": MESSAGES, **parameters}
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve("sensible", DIALECT) as url:
        yield url


def raw(url: str, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    address = urlsplit(url)
    assert address.port is not None
    with socket.create_connection(("127.0.0.1", address.port), timeout=5) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def post(url: str, body: bytes, header: str = "X-Purpose: generator/0") -> Any:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n{header}\r\n\r\n"
    answer = raw(url, head.encode() + body)
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])


# -- every persona over the wire -------------------------------------------------------------


@pytest.mark.parametrize("persona", PERSONAS)
def test_every_persona_that_answers_is_heard_by_the_official_client(persona):
    with serve(persona, DIALECT) as url:
        answer = ask(url)
    assert answer.model == f"scripted:{persona}"
    choice = answer.choices[0]
    match persona:
        case "refusal":
            assert choice.message.content is None
            assert choice.message.refusal.startswith("I'm sorry")
        case "thinking":
            assert choice.message.reasoning_content in choice.message.content
            assert choice.message.content.startswith("<think>")
        case "truncated":
            assert choice.finish_reason == "length"
        case "huge":
            assert len(choice.message.content) > 1_900_000
        case _:
            assert choice.finish_reason == "stop"
            assert choice.message.content is not None


def test_a_rate_limit_says_how_long_to_wait_and_passes():
    with serve("rate_limit", DIALECT, retry_after_s=2) as url:
        with pytest.raises(openai.RateLimitError) as caught:
            ask(url)
        assert caught.value.response.headers["retry-after"] == "2"
        assert caught.value.code == "rate_limit_exceeded"
        assert ask(url).model == "scripted:rate_limit"


def test_server_errors_never_pass():
    with serve("server_error", DIALECT) as url:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError):
                ask(url)


def test_a_hanging_answer_ends_when_the_client_gives_up():
    with serve("hang", DIALECT) as url:
        start = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            client(url, timeout=0.3).chat.completions.create(model="any", messages=MESSAGES)
        assert time.monotonic() - start > 0.2
        with pytest.raises(openai.NotFoundError):  # others are served
            client(url).embeddings.create(model="any", input="x")


def test_a_reset_connection_is_a_reset_and_not_an_orderly_end():
    body = json.dumps({"messages": MESSAGES}).encode()
    with serve("connection_reset", DIALECT) as url:
        with pytest.raises(openai.APIConnectionError):
            ask(url)
        with pytest.raises(ConnectionResetError):
            post(url, body)


def test_a_wrong_content_type_is_a_web_page():
    with serve("wrong_content_type", DIALECT) as url:
        response = client(url).chat.completions.with_raw_response.create(
            model="any", messages=MESSAGES
        )
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html"
    assert response.text.startswith("<html>")


def test_flaky_fails_once_with_every_question_in_each_way_in_turn():
    failures: list[str] = []
    with serve("flaky", DIALECT) as url:
        for i in range(len(FAULTS) + 1):
            messages = [SYSTEM, {"role": "user", "content": f"Round {i}. Write 3."}]
            try:
                answer = client(url, timeout=0.3).chat.completions.create(
                    model="any", messages=messages
                )
                failures.append(type(answer).__name__)
            except openai.OpenAIError as error:
                failures.append(type(error).__name__)
            assert ask(url, messages=messages).choices[0].message.content
    assert failures == [
        "RateLimitError",
        "InternalServerError",
        "APITimeoutError",
        "APIConnectionError",
        "str",  # the client hands out the web page as it is
        "RateLimitError",
    ]


def test_our_own_client_gets_a_labelled_answer_through_a_flaky_server():
    with serve("flaky", DIALECT, retry_after_s=0) as url:
        chat = OpenAIChat("scripted:flaky", url, None, timeout_s=5)
        reply = chat.complete([Message("user", "Write 2.")], purpose="generator/0")
    assert reply.attempts == 2
    assert reply.model == "scripted:flaky"
    assert not chat.is_language_model


def test_our_own_client_keeps_thoughts_out_of_the_answer():
    with serve("thinking", DIALECT) as url:
        chat = OpenAIChat("scripted:thinking", url, None)
        reply = chat.complete(
            [Message("user", "Write 2.")], purpose="g", schema=batch_schema(DIALECT)
        )
    assert len(json.loads(reply.text)["architectures"]) == 2
    assert "No, there are better ones" in reply.reasoning
    assert reply.usage.reasoning > 0


# -- what a call is for ----------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["navigator/3", "generator/3", "llm/0/1", "my critic\n/é"])
def test_our_own_client_gets_the_answer_that_the_process_would(purpose, url):
    messages = [Message("system", "You help."), Message("user", "Write 3 architectures.")]
    served = OpenAIChat("scripted:sensible", url, None).complete(messages, purpose=purpose)
    assert served.text == ScriptedChat(SPACE).complete(messages, purpose=purpose).text
    assert ("# NAVIGATION DIRECTIONS" in served.text) == purpose.startswith("navigator")


def test_a_request_that_does_not_say_what_it_is_for_is_refused(url):
    body = json.dumps({"messages": MESSAGES}).encode()
    status, answer = post(url, body, header="X-Other: generator/0")
    assert status == 400
    assert re.search(r"X-Purpose is missing.*navigator/3", answer["error"]["message"])


# -- the protocol ----------------------------------------------------------------------------


def test_the_same_request_gets_the_same_answer_from_every_server(url):
    with serve("sensible", DIALECT) as other, serve("sensible", DIALECT, seed=1) as seeded:
        assert ask(url) == ask(other)
        assert ask(url).choices != ask(seeded).choices


def test_another_seed_of_the_request_gets_another_answer(url):
    texts = [ask(url, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_json_formats_are_kept(url):
    schema = {"name": "answer", "strict": True, "schema": batch_schema(DIALECT)}
    for format_ in ({"type": "json_object"}, {"type": "json_schema", "json_schema": schema}):
        answer = json.loads(ask(url, response_format=format_).choices[0].message.content)
        assert len([SPACE.decode(item) for item in answer["architectures"]]) == 3


def test_text_has_prose_around_its_json(url):
    for format_ in ({}, {"response_format": {"type": "text"}}):
        assert "```json" in ask(url, **format_).choices[0].message.content


def test_the_limit_on_tokens_cuts(url):
    for limit in ({"max_tokens": 10}, {"max_completion_tokens": 10}):
        answer = ask(url, **limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 10


def test_the_limit_on_tokens_counts_thoughts_first():
    with serve("thinking", DIALECT) as url:
        answer = ask(url, max_completion_tokens=10)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 10
    assert answer.choices[0].finish_reason == "length"


def test_unknown_parameters_are_accepted(url):
    extra = {"extra_body": {"top_k": 20, "thinking": {"type": "enabled"}}, "temperature": 0.6}
    assert ask(url, **extra).choices == ask(url).choices


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"seed": "x"}, "seed"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"required": ["city"]}},
                }
            },
            "response_format",
        ),
    ],
)
def test_bad_requests_are_refused_in_the_format_of_the_protocol(url, parameters, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(url, **parameters)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_request_are_refused(url, body):
    status, answer = post(url, body)
    assert status == 400
    assert answer["error"]["message"].startswith("the body: ")


def test_what_is_not_there_is_not_found(url):
    with pytest.raises(openai.NotFoundError, match="there is no POST /v1/embeddings"):
        client(url).embeddings.create(model="any", input="x")


# -- this machine only, and clean ends -------------------------------------------------------


def test_it_listens_on_loopback(url):
    assert url.startswith("http://127.0.0.1:")


def test_nothing_listens_after_the_block():
    with serve("sensible", DIALECT) as url:
        pass
    with pytest.raises(openai.APIConnectionError):
        ask(url)


def test_an_unknown_persona_and_a_taken_port_are_refused(url):
    with pytest.raises(ValueError, match=r"persona must be one of sensible, .*got 'smart'"):
        FakeServer("smart", DIALECT)
    with pytest.raises(OSError, match="in use"):
        FakeServer("sensible", DIALECT, port=urlsplit(url).port or 0)


def test_the_command_builds_the_space_that_a_search_would(monkeypatch):
    monkeypatch.chdir(ROOT)
    dialect = spoken_space("nasbench201", ["dataset=cifar100", "names=short", "order_seed=3"])
    space = dialect.space
    assert isinstance(space, NASBench201)
    assert (space.dataset, dialect.names, dialect.order_seed) == ("cifar100", "short", 3)
    assert spoken_space("conf/searchspace/nasbench201.yaml", []).space.name == "nasbench201"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--persona", "smart"], "persona must be one of sensible"),
        (["--searchspace", "nasbench301"], "or one of .*nasbench201"),
        (["dataset=cifar11"], "dataset must be 'cifar10', .* got 'cifar11'"),
        (["colour=red"], "colour is no setting; there are dataset"),
        (["--port", "99999"], "port must be 0-65535"),
    ],
)
def test_bad_arguments_end_with_what_to_write_instead(arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_ctrl_c_ends_the_command_cleanly():
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "collm_nas.fake_llm.server",
            "--persona",
            "random",
            "dataset=cifar100",
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test runner that was started in the background ignores Ctrl-C, and so would the child
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "scripted:random (no language model)" in line
        assert ask(line.split()[-1]).model == "scripted:random"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert out == "stopped\n"
    assert '"POST /v1/chat/completions HTTP/1.1" 200' in err
    assert "Traceback" not in err
