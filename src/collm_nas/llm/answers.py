"""What a server's answer says: the text, the thoughts, the tokens, in all their spellings.

Nothing here is trusted: a field may be missing, of another type, or nested beyond all measure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collm_nas.llm.base import Usage
from collm_nas.llm.reasoning import split_reasoning

# where a message holds its thoughts: DeepSeek and vLLM, OpenRouter, Ollama, LiteLLM
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
INSIDE = ("text", "thinking", "reasoning", "summary", "content")  # keys of a part that hold text
DEEPEST = 20  # levels of parts within parts
MAX_NAME = 200  # characters of what is a name: a model, a finish reason
MOST_TOKENS = 10**12  # of one call; more is not a count


@dataclass(frozen=True)
class Content:
    """A message, sorted."""

    text: str
    reasoning: str
    refusal: str
    unread: str  # JSON of the parts of a kind that is not known


def read_message(message: Mapping[str, Any]) -> Content:
    """Sort what a message holds into answer and thoughts."""
    said: dict[str, list[Any]] = {"text": [], "thoughts": [], "refusal": [], "unread": []}
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        kind, value = _sorted(part)
        said[kind].append(value)
    text, blocks = split_reasoning("".join(said["text"]))
    beside = next((found for key in THOUGHTS if (found := _flat(message.get(key)))), "")
    thoughts = [beside, *said["thoughts"], blocks]
    unread = said["unread"] + [message[k] for k in ("tool_calls", "audio") if message.get(k)]
    return Content(
        text=text,
        reasoning="\n".join(thought for thought in thoughts if thought),
        refusal=_flat(message.get("refusal")) or "".join(said["refusal"]),
        unread=dump(unread) if unread else "",
    )


def read_usage(usage: Any, asked: int, written: int) -> Usage:
    """Read the counts.

    Some servers count reasoning beside `completion_tokens` instead of in them (xAI, Gemini):
    the output is what the total leaves, or what the parts add up to, where that is more.

    Args:
        asked, written: estimates, in tokens, that take the place of counts which are not there.
    """
    counts = usage if isinstance(usage, dict) else {}
    read = _number(counts, "prompt_tokens") or _number(counts, "input_tokens")
    counted = _number(counts, "completion_tokens") or _number(counts, "output_tokens")
    thought = _number(counts.get("completion_tokens_details"), "reasoning_tokens")
    total = _number(counts, "total_tokens")
    beside = counted + thought if thought > counted else counted
    output = max(beside, total - read)
    return Usage(
        input=read or (0 if total else asked),
        output=output or written,
        reasoning=thought,
        cached=_number(counts.get("prompt_tokens_details"), "cached_tokens"),
        estimated=not (read or total) or (not output and written > 0),
    )


def name(value: Any) -> str:
    """Return a name; what is none is as good as missing."""
    return value[:MAX_NAME] if isinstance(value, str) else ""


def dump(value: Any) -> str:
    """Write as JSON, as far as that is possible."""
    try:
        return json.dumps(value)
    except RecursionError:
        return "(nested too deep to be shown)"


def _sorted(part: Any) -> tuple[str, Any]:
    """Tell what a part of a message is, and what it says."""
    if not part or isinstance(part, str):
        return "text", part or ""
    if not isinstance(part, dict):
        return "unread", part
    kind = name(part.get("type"))
    if part.get("thought") is True or any(k in kind for k in ("think", "reason", "thought")):
        return "thoughts", _flat(part)
    if kind == "refusal":
        return "refusal", _flat(part.get("refusal"))
    if kind in ("", "text", "output_text") and isinstance(part.get("text"), str):
        return "text", part["text"]
    return "unread", part


def _flat(value: Any) -> str:
    """Join the texts in nested parts."""
    return "\n".join(text for text in _texts(value, DEEPEST) if text)


def _texts(value: Any, deepest: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and deepest:
        inside = value if isinstance(value, list) else [value.get(key) for key in INSIDE]
        for part in inside:
            yield from _texts(part, deepest - 1)


def _number(counts: Any, key: str) -> int:
    """Read a count; some servers write 12.0."""
    value = counts.get(key) if isinstance(counts, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 < value <= MOST_TOKENS else 0
