"""Any server that speaks the OpenAI chat protocol: OpenAI, Anthropic, DeepSeek, vLLM, Ollama.

A parameter that is None is not sent, since servers refuse what they do not know. The client is
made at the first call: composing a config, replaying or looking at a finished search needs no
key. Retrying is done here and not by the client, so that every attempt is counted.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import count
from time import sleep
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from collm_nas.llm.base import JSON, SCRIPTED, LLMUnavailable, Message, Reply, Usage
from collm_nas.llm.prices import is_private, price
from collm_nas.llm.reasoning import split_reasoning
from collm_nas.llm.transport import Body, Failure, post

if TYPE_CHECKING:
    import openai

Format = Literal["json_schema", "json_object", "text"]

FORMATS: tuple[Format, ...] = ("json_schema", "json_object", "text")  # strictest first
OPENAI_URL = "https://api.openai.com/v1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_WAIT_S = 120.0  # a server that asks for more ends the search, which can go on later
PLACEHOLDER_KEY = "none"  # the client insists on one

HINTS = {
    400: "If it refuses a parameter, leave that out: null, e.g. llm.model.temperature=null.",
    402: "Pay the provider, or choose another model: llm=…",
    404: "Check the model's id (llm.model.model) and the address (llm.model.base_url).",
    429: "Wait, or ask fewer tokens at a time.",
}
NO_SERVER = "Check that the server runs, and its address (llm.model.base_url)."


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
        timeout_s: the longest that one attempt may take.
        retries: attempts after the first, for failures that may pass.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        max_completion_tokens: int | None = None,
        reasoning_effort: str | None = None,
        seed: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        structured: Format | Literal["auto"] = "auto",
        timeout_s: float = 600.0,
        retries: int = 6,
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
        self.timeout_s = timeout_s
        self.retries = retries
        self._refused: set[Format] = set()  # response formats that the server does not know
        _check(base_url, structured, timeout_s, retries)

    @property
    def settings(self) -> JSON:
        """Name what an answer depends on; where the model is served is not part of it."""
        return {
            "model": self.name,
            **self.parameters,
            "extra_body": self.extra_body,
            "seed": self.seed,
            "structured": self.structured,
        }

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`. An empty, refused or cut answer is a reply like any other."""
        sent = {"model": self.name, **self.parameters}
        if self.seed is not None:
            sent["seed"] = random.Random(f"{self.seed}/{purpose}").getrandbits(31)
        request = {**sent, "messages": [asdict(m) for m in messages], "extra_body": self.extra_body}
        waiting = random.Random(f"{self.seed}/{purpose}/waiting")
        failures = 0
        for attempt in count(1):
            format_ = self._format(schema)
            match post(
                self.client, {**request, **_response_format(format_, schema)}, self.timeout_s
            ):
                case Failure() as failure:
                    if failure.about_format and self._can_step_down(format_):
                        self._refused.add(format_)
                        continue
                    failures += 1
                    wait_s = _wait_s(failure, failures, waiting)
                    if not failure.retry or failures > self.retries or wait_s > LONGEST_WAIT_S:
                        break
                    sleep(wait_s)
                case body:
                    sent |= {"base_url": self._url(), **self.extra_body, "response_format": format_}
                    return self._reply(body, sent, attempt)
        raise LLMUnavailable(self._explain(failure, attempt))

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
        """Connect to the server."""
        import openai  # 0.8 s: only for those who call

        if problems := _url_problems(url := self._url(), "OPENAI_BASE_URL"):
            raise LLMUnavailable("; ".join(problems))
        # A proxy of the environment cannot reach this machine's own servers.
        http = openai.DefaultHttpx2Client(trust_env=urlsplit(url).hostname not in LOOPBACK)
        return openai.OpenAI(
            api_key=self.api_key(),
            base_url=url,
            timeout=self.timeout_s,
            max_retries=0,
            http_client=http,
        )

    def _url(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL

    def _format(self, schema: JSON | None) -> Format:
        if schema is None:
            return "text"
        if self.structured != "auto":
            return self.structured
        return next(f for f in FORMATS if f not in self._refused)

    def _can_step_down(self, format_: Format) -> bool:
        return self.structured == "auto" and format_ != "text"

    def _reply(self, body: Body, sent: JSON, attempts: int) -> Reply:
        choice, message = body["choices"][0], body["choices"][0]["message"]
        refusal = _text(message.get("refusal"))
        text, thoughts = split_reasoning(_text(message.get("content")))
        reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
        served = _text(body.get("model"))
        usage = _usage(body.get("usage"))
        cost_usd, source = _price(served, self.name, self._url(), usage)
        return Reply(
            text=text or refusal,
            reasoning="\n".join(part for part in (reasoning, thoughts) if part),
            finish_reason="refusal" if refusal else _text(choice.get("finish_reason")),
            model=served,
            usage=usage or Usage(),
            attempts=attempts,
            fingerprint=_text(body.get("system_fingerprint")),
            sent=sent,
            seed_honoured="unknown" if "seed" in sent else "no",
            cost_usd=cost_usd,
            price_source=source,
        )

    def _explain(self, failure: Failure, attempts: int) -> str:
        hint = HINTS.get(failure.status or 0, "")
        if failure.status in (401, 403):
            where = self.api_key_env or "a variable that llm.model.api_key_env names"
            hint = f"Check the key in {where}."
        elif failure.status is None:
            hint = NO_SERVER
        wait = failure.wait_s or 0.0
        later = f" It asks to wait {wait:,.0f} s." if wait > LONGEST_WAIT_S else ""
        return (
            f"{self.name} at {self._url()} gave no answer in {attempts} "
            f"attempt{'s' if attempts > 1 else ''}: {failure.message}.{later} {hint} "
            f"Nothing is lost: the same command continues the search."
        )


def _check(base_url: str | None, structured: str, timeout_s: float, retries: int) -> None:
    problems = [] if base_url is None else _url_problems(base_url, "llm.model.base_url")
    if structured not in ("auto", *FORMATS):
        known = ", ".join(FORMATS)
        problems.append(f"llm.model.structured must be one of auto, {known}, got {structured!r}")
    if timeout_s <= 0:
        problems.append(f"llm.model.timeout_s must be positive, got {timeout_s}")
    if retries < 0:
        problems.append(f"llm.model.retries must be at least 0, got {retries}")
    if problems:
        raise ValueError("\n".join(problems))


def _url_problems(base_url: str, name: str) -> list[str]:
    """Say what is wrong with an address. It is written to files and messages: no secret in it."""
    url = urlsplit(base_url)
    if "@" in url.netloc or url.query:
        return [f"{name} must hold no user, password or query: a key belongs in the environment"]
    if url.scheme not in ("http", "https") or not url.hostname:
        return [f"{name} must be like https://host/v1, got {base_url!r}"]
    return []


def _response_format(format_: Format, schema: JSON | None) -> dict[str, Any]:
    if format_ == "json_schema":
        held_to = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": held_to}}
    return {} if format_ == "text" else {"response_format": {"type": format_}}


def _wait_s(failure: Failure, failures: int, rng: random.Random) -> float:
    """Double the wait with each failure, and spread it, so that clients do not come in step."""
    backoff = min(2.0 ** (failures - 1), LONGEST_WAIT_S / 2) * rng.uniform(0.75, 1.25)
    return backoff if failure.wait_s is None else failure.wait_s + rng.uniform(0, 0.25)


def _price(served: str, asked: str, url: str, usage: Usage | None) -> tuple[float | None, str]:
    """Price by the model as served or, where the list does not know that, as asked for."""
    if usage is None and not is_private(url):
        return None, "the server reports no usage"
    cost_usd, source = price(served, url, usage or Usage())
    return (cost_usd, source) if cost_usd is not None else price(asked, url, usage or Usage())


def _usage(usage: Any) -> Usage | None:
    """Read the counts; None if there are none."""
    if not isinstance(usage, dict):
        return None
    return Usage(
        input=_number(usage, "prompt_tokens"),
        output=_number(usage, "completion_tokens"),
        reasoning=_number(usage.get("completion_tokens_details"), "reasoning_tokens"),
        cached=_number(usage.get("prompt_tokens_details"), "cached_tokens"),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(counts: Any, key: str) -> int:
    value = counts.get(key) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and value > 0 else 0
