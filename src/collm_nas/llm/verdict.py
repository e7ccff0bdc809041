"""What an answer of a chat server is: a completion, or why there is none.

Reading the body ourselves gives a verdict on what is not of the protocol. A failure is a value,
not an exception: the client's exceptions carry the request and its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from collm_nas.llm.answers import dump
from collm_nas.llm.keys import quote

Body = dict[str, Any]
# format: the server does not know the response format asked for; writing: what the model wrote did
# not pass the server's check; context: the prompt is too long; filter: a content filter stopped it
Cause = Literal["", "format", "writing", "context", "filter"]

LASTING_CODES = {"insufficient_quota", "billing_hard_limit_reached"}  # 429, but not for long waits
REFUSED = (200, 400, 403, 413, 422, 451)  # 200: an error inside of a successful answer
# How servers word it; the first that fits is the cause.
CAUSES: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    (
        "filter",
        re.compile(
            r"content.?(filter|policy|management)|responsible.?ai|usage polic|moderation"
            r"|data_inspection|flagged|sensitive content",
            re.I,
        ),
    ),
    (
        "context",
        re.compile(
            r"context.?(length|window|size)|(prompt|input|request)[^.]{0,40} (is )?too (long|large)"
            r"|maximum prompt length|token count[^.]{0,40} exceeds|range of input length"
            r"|reduce the length of the|exceeds? the (model's )?(context|maximum)"
            r"|too many (input )?tokens|input length[^.]{0,60} exceeds",
            re.I,
        ),
    ),
    (
        "writing",
        re.compile(
            r"json_validate|tool_use_failed|failed_generation"
            r"|(failed|unable) to (generate|produce)[^.]{0,40}(json|output|schema)"
            r"|generated[^.]{0,40}(does not|did not|doesn't|didn't|is not|isn't|invalid)",
            re.I,
        ),
    ),
    ("format", re.compile(r"response.?format|json.?(schema|object)|schema|grammar", re.I)),
)


@dataclass(frozen=True)
class Failure:
    """Why a request has no usable answer; `message` is short and holds no key."""

    message: str
    status: int | None = None  # HTTP; None: there was no answer, or not a whole one
    retry: bool = True  # whether the same request may succeed later
    wait: str = ""  # its Retry-After
    cause: Cause = ""


def verdict(status: int, headers: Mapping[str, str], data: bytes, key: str) -> Body | Failure:
    """Return the body of a completion, whatever its type says, or why it is none."""
    if not 200 <= status < 300:
        return _refused(status, data, headers, key)
    body = _json(data)
    try:
        choice = body["choices"][0]
        message = choice["message"]
    except (TypeError, LookupError):
        error = body.get("error") if isinstance(body, dict) else None
        if error:
            return _refused(_status(error), data, headers, key)
        kind = quote(headers["content-type"].partition(";")[0] or "none", key)
        text = quote(data[:2000].decode(errors="replace"), key) or "(nothing)"
        return Failure(f"not a chat completion but {kind} content: {text}", status=200)
    if isinstance(choice.get("error"), dict):  # what a provider behind a router said
        return _refused(_status(choice["error"]), dump(choice).encode(), headers, key)
    if not isinstance(message, dict):
        return Failure("a chat completion without a message", status=200)
    assert isinstance(body, dict)
    return body


def _refused(status: int, data: bytes, headers: Mapping[str, str], key: str) -> Failure:
    body = _json(data)
    while isinstance(body, list) and body:  # Gemini wraps its errors so
        body = body[0]
    error = body.get("error") or body if isinstance(body, dict) else body
    fields = error if isinstance(error, dict) else {}
    text = fields.get("message") or fields.get("detail") or error or data.decode(errors="replace")
    said = quote(text if isinstance(text, str) else dump(text), key)
    codes = [fields.get(name) for name in ("code", "type", "param", "innererror")]
    complaint = " ".join([said, *(dump(code)[:500] for code in codes if code)])
    may_pass = status in (200, 408, 409, 425, 429) or status >= 500
    causes = (cause for cause, wording in CAUSES if wording.search(complaint))
    cause: Cause = next(causes, "") if status in REFUSED else ""
    return Failure(
        f"HTTP {status}: {said}",
        status,
        retry=may_pass and cause != "writing" and str(fields.get("code")) not in LASTING_CODES,
        wait=quote(headers["retry-after"], key),
        cause=cause,
    )


def _status(error: Any) -> int:
    """Return the HTTP status that an error inside of a successful answer names, if it does."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 200


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
