"""One request to a chat server, and what can go wrong with it.

The official client speaks the protocol; reading the body ourselves gives what it cannot: a limit
on the whole time of an answer (a server that sends a blank now and then to keep the connection
open never runs into a read timeout) and a verdict on bodies that are not of the protocol.
A failure is a value, not an exception: the client's exceptions carry the request and its key.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai

Body = dict[str, Any]

MAX_BODY_BYTES = 64 * 2**20
QUOTED_CHARACTERS = 300  # of a foreign text in a message
LASTING_CODES = {"insufficient_quota", "billing_hard_limit_reached"}  # 429, but not for long waits
KEY_LIKE = re.compile(r"\b(sk|key|xai|gsk|hf)[-_][\w*.\-]{6,}|Bearer \S+")


@dataclass(frozen=True)
class Failure:
    """Why a request has no usable answer; `message` holds no key."""

    message: str
    status: int | None = None  # HTTP; None: there was no answer, or not a whole one
    retry: bool = True  # whether the same request may succeed later
    wait_s: float | None = None  # as the server demands
    about_format: bool = False  # the server does not know the response format asked for


def post(client: openai.OpenAI, request: Body, timeout_s: float) -> Body | Failure:
    """Send a chat completion request; return the body of the answer, which has a message."""
    import httpx2  # the HTTP client that `openai` is built on: a body's errors come from it
    import openai

    late = Failure(f"no complete answer within {timeout_s:g} s")
    deadline = monotonic() + timeout_s
    data = bytearray()
    try:
        with client.chat.completions.with_streaming_response.create(**request) as response:
            content_type = response.headers.get("content-type", "none")
            for chunk in response.iter_bytes():
                data += chunk
                if monotonic() > deadline:
                    return late
                if len(data) > MAX_BODY_BYTES:
                    return Failure(f"an answer of more than {MAX_BODY_BYTES:,} bytes")
    except (openai.APITimeoutError, httpx2.TimeoutException):
        return late
    except openai.APIStatusError as error:
        return _refused(error.status_code, error.body, error.response.headers, client.api_key)
    except (openai.APIConnectionError, httpx2.HTTPError) as error:
        return Failure(f"connection failed: {scrub(str(error.__cause__ or error), client.api_key)}")
    return _parse(_without_key(bytes(data), client.api_key), content_type)


def scrub(text: str, key: str) -> str:
    """Take the key, and whatever looks like one, out of a message; shorten it."""
    if _is_secret(key):
        text = text.replace(key, "[key]")
    text = " ".join(KEY_LIKE.sub("[key]", text).split())
    return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: given as a number or as a date (RFC 9110)."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return max(0.0, email.utils.mktime_tz(date) - time()) if date else None


def _refused(status: int, body: object, headers: Mapping[str, str], key: str) -> Failure:
    error = body.get("error", body) if isinstance(body, dict) else body
    text = error.get("message") if isinstance(error, dict) else error
    code = str(error.get("code")) if isinstance(error, dict) else ""
    said = scrub(text if isinstance(text, str) and text else json.dumps(body), key)
    complaint = f"{said} {error.get('param', '') if isinstance(error, dict) else ''}"
    return Failure(
        f"HTTP {status}: {said}",
        status,
        retry=(status in (408, 409, 425, 429) or status >= 500) and code not in LASTING_CODES,
        wait_s=retry_after(headers),
        about_format=status in (400, 422) and _names_format(complaint),
    )


def _names_format(complaint: str) -> bool:
    return bool(
        re.search(r"response.?format|json.?(schema|object)|schema|grammar", complaint, re.I)
    )


def _parse(data: bytes, content_type: str) -> Body | Failure:
    """Accept a body that the protocol allows, whatever its content type says."""
    try:
        body = json.loads(data)
        message = body["choices"][0]["message"]
    except (ValueError, TypeError, LookupError, RecursionError):
        text = scrub(data[:2000].decode(errors="replace"), "") or "(nothing)"
        return Failure(f"not a chat completion but {content_type} content: {text}", status=200)
    if not isinstance(message, dict):
        return Failure("a chat completion without a message", status=200)
    assert isinstance(body, dict)
    return body


def _without_key(data: bytes, key: str) -> bytes:
    return data.replace(key.encode(), b"[key]") if _is_secret(key) else data


def _is_secret(key: str) -> bool:
    """Tell real keys from the placeholders of servers that need none, such as EMPTY."""
    return len(key) >= 12
