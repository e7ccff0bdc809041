"""Any server that speaks the OpenAI chat protocol: OpenAI, Anthropic, DeepSeek, vLLM, Ollama.

A parameter that is None is not sent, since servers refuse what they do not know. The client is
made at the first call: composing a config, replaying or looking at a finished search needs no
key.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from annotated_types import Ge, Gt, Le

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Seed, Text
from collm_nas.llm.address import url_problems
from collm_nas.llm.advice import advice
from collm_nas.llm.answers import name, read_message, read_usage
from collm_nas.llm.base import (
    JSON,
    PURPOSE_HEADER,
    SCRIPTED,
    ContextFull,
    LLMUnavailable,
    Message,
    Reply,
    Usage,
)
from collm_nas.llm.counting import estimated_tokens
from collm_nas.llm.keys import scrub
from collm_nas.llm.prices import is_private, price
from collm_nas.llm.verdict import Body, Failure

if TYPE_CHECKING:
    import httpx2
    import openai

Tokens = Annotated[int, Ge(1), Le(100_000_000)]
Format = Literal["json_schema", "json_object", "text"]

FORMATS: tuple[Format, ...] = ("json_schema", "json_object", "text")  # strictest first
OPENAI_URL = "https://api.openai.com/v1"
TRIES_OF_A_FORMAT = 2  # in which the model may fail to write, before a less strict one is asked for
PLACEHOLDER_KEY = "none"  # the client insists on one
FILTERED = "content_filter"


@checked
class OpenAIChat:
    """A model behind a chat completion endpoint.

    Args:
        model: its id, as the server knows it.
        base_url: the server; None: OPENAI_BASE_URL, or OpenAI itself.
        api_key_env: the environment variable that holds the key; None: the server needs none.
        seed: the seed of a call is drawn from it and the call's purpose, so that a repeated
            prompt is not a repeated call; None: no seed is sent.
        extra_body: parameters outside of the protocol, sent beside the others.
        structured: how an answer is held to its JSON schema. "auto" asks for the strictest
            format that the server does not refuse.
        answer_in: "reasoning": where a server puts the whole answer into the reasoning, it is read
            there. None: reasoning is never read.
        idempotency_header: under this name the call is named to a provider that then answers and
            charges for it only once; None: it is not.
        context: how many tokens the model reads at once, prompt and answer; `estimate=true` warns
            of a search that outgrows it.
        timeout_s: the longest that one attempt may take, whatever the server does.
        retries: attempts after the first, for failures that may pass; ten take about a minute.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        model: Text,
        base_url: Text | None = None,
        api_key_env: Text | None = "OPENAI_API_KEY",
        *,
        temperature: Annotated[float, Ge(0), Le(10)] | None = None,
        top_p: Annotated[float, Gt(0), Le(1)] | None = None,
        max_tokens: Tokens | None = None,
        max_completion_tokens: Tokens | None = None,
        reasoning_effort: Text | None = None,
        seed: Seed | None = None,
        extra_body: Mapping[str, Any] | None = None,
        structured: Format | Literal["auto"] = "auto",
        answer_in: Literal["reasoning"] | None = None,
        idempotency_header: Text | None = None,
        context: Tokens | None = None,
        timeout_s: Annotated[float, Gt(0), Le(1_000_000)] = 600.0,
        retries: Annotated[int, Ge(0), Le(100)] = 10,
    ) -> None:
        self.name = model
        self.is_language_model = not model.startswith(SCRIPTED)
        self.base_url = base_url
        self.api_key_env = api_key_env
        parameters = {
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "max_completion_tokens": max_completion_tokens,
            "reasoning_effort": reasoning_effort,
        }
        self.parameters = {key: v for key, v in parameters.items() if v is not None}
        self.seed = seed
        self.extra_body = dict(extra_body or {})
        self.structured = structured
        self.answer_in = answer_in
        self.idempotency_header = idempotency_header
        self.context = context
        self.timeout_s = timeout_s
        self.retries = retries
        self._refused: set[Format] = set()  # response formats that the server does not know
        self._reached = False  # whether the server has answered
        if base_url and (problems := url_problems(base_url, "llm.model.base_url")):
            raise ValueError("; ".join(problems))

    @property
    def settings(self) -> JSON:
        """Name what an answer depends on; where the model is served is not part of it."""
        return {
            "model": self.name,
            **self.parameters,
            "extra_body": self.extra_body,
            "seed": self.seed,
            "structured": self.structured,
            **({"answer_in": self.answer_in} if self.answer_in else {}),
        }

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`. An empty, refused, cut or filtered answer is a reply like any other."""
        sent = {"model": self.name, **self.parameters}
        if self.seed is not None:
            sent["seed"] = random.Random(f"{self.seed}/{purpose}").getrandbits(31)
        request = {**sent, "messages": [asdict(m) for m in messages], "extra_body": self.extra_body}
        answer, format_, failed = self._ask(request, schema, purpose)
        sent |= {"base_url": self._url(), **self.extra_body, "response_format": format_}
        attempts = len(failed) + 1
        if isinstance(answer, Failure):
            failed.append(answer.message)
            answer = {"choices": [{"message": {}, "finish_reason": FILTERED}]}
        reply = self._reply(answer, messages, sent, attempts, failed)
        return _without_key(reply, self.client.api_key, json.dumps([request, schema]))

    def api_key(self) -> str:
        """Read the key.

        Raises:
            LLMUnavailable: there is none; the message names the variable, and other ways.
        """
        if self.api_key_env is None:
            return PLACEHOLDER_KEY
        key = os.environ.get(self.api_key_env, "").strip()
        if key and key.isascii() and key.isprintable():
            return key
        state = "holds characters that no key has" if key else "is not set"
        raise LLMUnavailable(
            f"{self.name} needs a key, and the environment variable {self.api_key_env} {state}. "
            f"Set it (export {self.api_key_env}=…) and run the same command again, or choose a "
            f"model that needs none: llm=local (embedded), llm=ollama, llm=qwen3_30b_a3b (vLLM)."
        )

    @cached_property
    def client(self) -> openai.OpenAI:
        """The client of the protocol."""
        import openai  # 0.8 s: only for those who call

        if problems := url_problems(url := self._url(), "OPENAI_BASE_URL"):
            raise LLMUnavailable("; ".join(problems))
        return openai.OpenAI(api_key=self.api_key(), base_url=url, timeout=self.timeout_s)

    @cached_property
    def transport(self) -> httpx2.HTTPTransport:
        """The way to the server, one attempt at a time."""
        from collm_nas.llm.bounded import transport

        try:
            return transport(self._url())
        except (ValueError, ImportError) as error:
            raise LLMUnavailable(f"the proxy of the environment: {error}") from error

    def _url(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL

    def _ask(
        self, request: Body, schema: JSON | None, purpose: str
    ) -> tuple[Body | Failure, Format, list[str]]:
        """Send a request until it is answered, in which format, or filtered; tell what failed.

        Raises:
            LLMUnavailable: it fails for good, or too often.
        """
        from collm_nas.llm.attempts import post

        spoiled: Counter[Format] = Counter()  # texts that did not pass the server's check
        failed: list[str] = []
        left = self.retries
        while True:
            format_ = self._format(schema, spoiled)
            asked = {**request, **_response_format(format_, schema)}
            headers = {PURPOSE_HEADER: quote(purpose)}
            if self.idempotency_header is not None:
                call = json.dumps([asked, purpose], sort_keys=True)
                headers[self.idempotency_header] = hashlib.sha256(call.encode()).hexdigest()
            body, failures = post(
                self.client, self.transport, asked, headers, retries=left, reached=self._reached
            )
            failed += [failure.message for failure in failures]
            if body is not None:
                self._reached = True
                return body, format_, failed
            failure = failures[-1]
            left -= len(failures)
            if failure.cause == "filter":
                self._reached = True
                return failure, format_, failed[:-1]
            if failure.cause == "format" and self.structured == "auto" and format_ != "text":
                self._refused.add(format_)
                left += 1  # another format is no repetition
            elif failure.cause == "writing" and left >= 0:
                spoiled[format_] += 1
            else:
                stop = ContextFull if failure.cause == "context" else LLMUnavailable
                raise stop(
                    f"{self.name} at {self._url()} gave no answer in {len(failed)} "
                    f"attempt{'s' if len(failed) > 1 else ''}: {failure.message.rstrip('.')}. "
                    f"{advice(failure, self.parameters, self.api_key_env)} "
                    f"Nothing is lost: the same command continues the search."
                )

    def _format(self, schema: JSON | None, spoiled: Counter[Format]) -> Format:
        if schema is None:
            return "text"
        if self.structured != "auto":
            return self.structured
        known = (f for f in FORMATS if f not in self._refused and spoiled[f] < TRIES_OF_A_FORMAT)
        return next(known, "text")

    def _reply(
        self,
        body: Body,
        messages: Sequence[Message],
        sent: JSON,
        attempts: int,
        failed: list[str],
    ) -> Reply:
        choice = body["choices"][0]
        content = read_message(choice["message"])
        text, reasoning = content.text or content.refusal, content.reasoning
        if self.answer_in == "reasoning" and not text.strip():
            text, reasoning = reasoning, ""
        served = name(body.get("model"))
        finish_reason = "refusal" if content.refusal else name(choice.get("finish_reason"))
        asked = estimated_tokens(*(message.content for message in messages))
        written = estimated_tokens(text, reasoning)
        if finish_reason == "length":  # thoughts that the server keeps to itself may be the most
            limits = (
                self.parameters.get(key, 0) for key in ("max_completion_tokens", "max_tokens")
            )
            written = max(written, *map(int, limits))
        usage = read_usage(body.get("usage"), asked, written)
        cost_usd, source = _price(served, self.name, self._url(), usage)
        return Reply(
            text=text,
            reasoning=reasoning,
            finish_reason=finish_reason,
            model=served,
            usage=usage,
            attempts=attempts,
            fingerprint=name(body.get("system_fingerprint")),
            sent=sent,
            seed_honoured="unknown" if "seed" in sent else "no",
            cost_usd=cost_usd,
            price_source=source,
            unread=content.unread,
            failures=failed,
        )


def _response_format(format_: Format, schema: JSON | None) -> dict[str, Any]:
    if format_ == "json_schema":
        held_to = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": held_to}}
    return {} if format_ == "text" else {"response_format": {"type": format_}}


def _price(served: str, asked: str, url: str, usage: Usage) -> tuple[float | None, str]:
    """Price by the model as served or, where the list does not know that, as asked for."""
    if usage.estimated and not is_private(url):
        return None, "the server does not count the tokens"
    cost_usd, source = price(served, url, usage)
    return (cost_usd, source) if cost_usd is not None else price(asked, url, usage)


def _without_key(reply: Reply, key: str, sent: str) -> Reply:
    """Take the key out of all that the server wrote."""
    written = ("text", "reasoning", "finish_reason", "model", "fingerprint", "unread")
    clean: dict[str, Any] = {name: scrub(getattr(reply, name), key, sent) for name in written}
    return replace(reply, **clean)
