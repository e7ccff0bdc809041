"""The server's side of the OpenAI chat protocol: requests read, answers written.

Follows https://platform.openai.com/docs/api-reference/chat, as far as `OpenAIChat` uses it.
Parameters that a persona has no use for are accepted and ignored, as real servers do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Ge, MinLen
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from collm_nas.llm.base import Message, Reply

Tokens = Annotated[int, Ge(1)] | None


class Answer(TypedDict):
    """What an answer must be like."""

    schema: dict[str, Any]


class Structured(TypedDict):
    """A response format that names a schema."""

    type: Literal["json_schema"]
    json_schema: Answer


class Unstructured(TypedDict):
    """A response format without a schema."""

    type: Literal["text", "json_object"]


class ChatRequest(TypedDict):
    """What a client asks for, as far as it matters here."""

    messages: Annotated[list[Message], MinLen(1)]
    seed: NotRequired[int | None]
    max_tokens: NotRequired[Tokens]
    max_completion_tokens: NotRequired[Tokens]
    response_format: NotRequired[Structured | Unstructured | None]


REQUEST = TypeAdapter(ChatRequest)
TEXT: Unstructured = {"type": "text"}


class BadRequest(ValueError):
    """The request is not of the protocol; `param` names the part."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


def read(body: bytes) -> ChatRequest:
    """Read the body of a request.

    Raises:
        BadRequest: it is not one.
    """
    try:
        return REQUEST.validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        told = [f"{'.'.join(map(str, p['loc'])) or 'the body'}: {p['msg']}" for p in problems]
        param = str(problems[0]["loc"][0]) if problems[0]["loc"] else None
        raise BadRequest("; ".join(told), param) from error


def completion(identity: str, model: str, reply: Reply) -> dict[str, Any]:
    """Write an answer. Thoughts stand in both places where servers put them."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    finish_reason = reply.finish_reason
    if finish_reason == "refusal":
        message |= {"content": None, "refusal": reply.text}
        finish_reason = "stop"
    if reply.reasoning:
        content = f"<think>\n{reply.reasoning}\n</think>\n\n{reply.text}"
        message |= {"reasoning_content": reply.reasoning, "content": content}
    usage = reply.usage
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "system_fingerprint": "scripted",
        "choices": [
            {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
        ],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        },
    }


def problem(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """Write an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
