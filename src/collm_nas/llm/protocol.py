"""The server's side of the OpenAI chat protocol: requests read, answers written.

Follows https://platform.openai.com/docs/api-reference/chat. Parameters that a persona has no use
for are accepted and ignored, as real servers of the protocol do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collm_nas.llm.base import JSON, Message
from collm_nas.llm.personas.base import Answer
from collm_nas.llm.personas.cast import tokens

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MAX_CHOICES = 16
CHUNK = 200  # characters of a streamed delta


class BadRequest(ValueError):
    """The request is not of the protocol; `param` names the part."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


@dataclass(frozen=True)
class ChatRequest:
    """What a client asks for, as far as it matters here."""

    messages: tuple[Message, ...]
    choices: int
    seed: int | None
    schema: JSON | None
    json_only: bool
    max_tokens: int | None
    stream: bool
    stream_usage: bool

    @classmethod
    def read(cls, body: bytes) -> ChatRequest:
        """Read the body of a request.

        Raises:
            BadRequest: it is not one.
        """
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(request, dict):
            raise BadRequest("the body is not a JSON object")
        schema, json_only = _format(request.get("response_format"))
        limit = _integer(request, "max_completion_tokens", 1)
        options = request.get("stream_options")
        return cls(
            messages=_messages(request.get("messages")),
            choices=_integer(request, "n", 1, MAX_CHOICES) or 1,
            seed=_integer(request, "seed"),
            schema=schema,
            json_only=json_only,
            max_tokens=limit or _integer(request, "max_tokens", 1),
            stream=request.get("stream") is True,
            stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )


def cut(answer: Answer, max_tokens: int | None) -> Answer:
    """Stop an answer at the limit on tokens; reasoning counts first, as it is written first."""
    spent = tokens(answer.reasoning)
    if max_tokens is None or spent + tokens(answer.text) <= max_tokens:
        return answer
    room = max(0, max_tokens - spent)
    reasoning = answer.reasoning[: 4 * max_tokens]
    return replace(
        answer, text=answer.text[: 4 * room], reasoning=reasoning, finish_reason="length"
    )


def completion(
    identity: str, model: str, request: ChatRequest, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Write the whole answer as one object."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **_message(answer)},
            "finish_reason": answer.finish_reason,
            "logprobs": None,
        }
        for index, answer in enumerate(answers)
    ]
    head = _head(identity, model, "chat.completion")
    return {**head, "choices": choices, "usage": _usage(request, answers)}


def chunks(
    identity: str, model: str, request: ChatRequest, answers: Sequence[Answer]
) -> Iterator[dict[str, Any]]:
    """Write the answer in the pieces of a stream."""
    head = _head(identity, model, "chat.completion.chunk")

    def chunk(index: int, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**head, "choices": [choice]}

    for index, answer in enumerate(answers):
        yield chunk(index, {"role": "assistant", "content": ""})
        for field, text in _message(answer).items():
            for start in range(0, len(text or ""), CHUNK):
                yield chunk(index, {field: text[start : start + CHUNK]})
        yield chunk(index, {}, answer.finish_reason)
    if request.stream_usage:
        yield {**head, "choices": [], "usage": _usage(request, answers)}


def models(name: str) -> dict[str, Any]:
    """Write the list of models that are served: one."""
    model = {"id": name, "object": "model", "created": 0, "owned_by": "collm-nas"}
    return {"object": "list", "data": [model]}


def problem(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """Write an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _messages(messages: Any) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message", "messages")
    read = []
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise BadRequest(f"messages[{i}].role must be one of {', '.join(ROLES)}", "messages")
        read.append(Message(ROLES[role], _content(message.get("content"), i)))  # type: ignore[arg-type]
    return tuple(read)


def _content(content: Any, index: int) -> str:
    """Read a text, or the texts of a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest(f"messages[{index}].content must be text", "messages")
    return "".join(str(text) for text in texts)


def _format(response_format: Any) -> tuple[JSON | None, bool]:
    """Return the schema that the answer must have, and whether it may be JSON only."""
    match response_format:
        case None | {"type": "text"}:
            return None, False
        case {"type": "json_object"}:
            return None, True
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return schema, True
    raise BadRequest("response_format is not text, json_object or json_schema", "response_format")


def _integer(
    request: Mapping[str, Any], key: str, low: int | None = None, high: int | None = None
) -> int | None:
    value = request.get(key)
    if value is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or (low is not None and value < low) or (high is not None and value > high):
        raise BadRequest(f"{key} is out of range: {value!r}", key)
    return int(value)


def _head(identity: str, model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{identity}",
        "object": kind,
        "created": 0,
        "model": model,
        "system_fingerprint": "scripted",
    }


def _message(answer: Answer) -> dict[str, Any]:
    """Write the fields of a message. Thoughts stand in both places where servers put them."""
    if answer.refused:
        return {"content": None, "refusal": answer.text}
    if not answer.reasoning:
        return {"content": answer.text}
    content = f"<think>\n{answer.reasoning}\n</think>\n\n{answer.text}"
    return {"reasoning_content": answer.reasoning, "content": content}


def _usage(request: ChatRequest, answers: Sequence[Answer]) -> dict[str, Any]:
    prompt = tokens(*(message.content for message in request.messages))
    reasoning = tokens(*(answer.reasoning for answer in answers))
    written = reasoning + tokens(*(answer.text for answer in answers))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
