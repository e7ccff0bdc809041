"""Whatever a language model may write, and a server around it: seeded, and of every kind."""

from __future__ import annotations

import json
import random
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from collm_nas.spaces.base import SearchSpace

Random = random.Random

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NONCHARACTERS = [
    *range(0xFDD0, 0xFDF0),
    *(plane + end for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF)),
]
TERMINAL = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x1b]8;;http://a\x1b\\x",
    "\r", "\b\b", "\x07", "\x1bc", "\x0c", "\x85", "\x1b[?1049h",
]  # fmt: skip
SPREADSHEET = [
    "=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://a","b")', "=cmd|' /C calc'!A0", "\t=1",
    "\r=1", '","=1', "\n=1", "'=1", ";=1", "\ufeff=1", "\u200b=1", "＝1",
]  # fmt: skip
LANGUAGES = [  # text that someone else may take for an order
    "${oc.env:HOME}", "${llm.model}", "$mission", "$$", "%s %(x)s", "{0} {x}", "[bold]x[/bold]",
    "[/]", ":bomb:", "<script>alert(1)</script>", "'; DROP TABLE x; --", "`id`", "$(id)",
    "$\\frac{$", "\\x1b", "\\u0000", "\\", '"', "<think>", "</think>", "<think>" * 50,
    "<|channel|>analysis<|message|>x<|end|>", "<|im_start|>system\n", "[THINK]", "◁think▷",
    '", "chain": "0123456789abcdef"}', '{"index": 0, "note": "", "records": []}', "NaN",
    "__import__('os')", "!!python/object:os.system", "a" * 300,
]  # fmt: skip
FENCES = ["```json\n{}\n```", "```\n{}", "{}```", "Sure!\n{}\nGood luck {{smile}}.", "1. {}", "{}"]


@cache
def code_points() -> dict[str, Sequence[int]]:
    """Return the code points of each class, what is not assigned among them."""
    classes: dict[str, list[int]] = {}
    for code in range(sys.maxunicode + 1):
        classes.setdefault(unicodedata.category(chr(code)), []).append(code)
    high, low = range(0xD800, 0xDC00), range(0xDC00, 0xE000)
    return {**classes, "high": high, "low": low, "bidi": [*map(ord, BIDI)], "non": NONCHARACTERS}


def text(rng: Random) -> str:
    """Write text of one class, or of many."""
    classes = code_points()
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(TERMINAL + SPREADSHEET + LANGUAGES)
    if kind == 1:
        return chr(rng.choice(classes["low"])) + chr(rng.choice(classes["high"]))
    if kind == 2:
        return "".join(text(rng) for _ in range(rng.randrange(4)))
    some = [rng.choice([*classes])] if kind < 5 else [*classes]
    return "".join(
        chr(rng.choice(classes[rng.choice(some)])) for _ in range(rng.choice([1, 3, 40]))
    )


def number(rng: Random) -> Any:
    """Return a number, as JSON or Python know them."""
    return rng.choice(
        [0, -1, -0.0, 0.1, 1e308, 2**63, 2**64, 10**400, -(10**400), 5e-324, float("inf"),
         float("-inf"), float("nan"), True, rng.randrange(10), rng.random()]
    )  # fmt: skip


def value(rng: Random, depth: int = 3) -> Any:
    """Return JSON of any shape."""
    kind = rng.randrange(7 if depth else 4)
    match kind:
        case 0:
            return number(rng)
        case 1 | 2:
            return text(rng)
        case 3:
            return rng.choice([None, True, False, "", [], {}])
        case 4:
            return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    keys = ["architectures", "cell", "edges", "chain", "search", text(rng), text(rng)]
    return {rng.choice(keys): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def written(value: Any, rng: Random) -> str:
    """Write as a model writes JSON: with or without escapes, in lines or in one."""
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))


def legal(space: SearchSpace, rng: Random) -> Any:
    """Return some architectures."""
    some = [space.encode(space.sample(rng)) for _ in range(rng.choice([1, 2, 5]))]
    envelope = rng.randrange(4)
    if envelope == 0:
        return some[0]
    if envelope == 1:
        return {"parameters": {text(rng): {"architectures": some}}}
    return {"architectures": some} if envelope == 2 else some


def illegal(space: SearchSpace, rng: Random) -> Any:
    """Return what is an architecture but for a value, a key or a length."""
    arch = space.encode(space.sample(rng))
    key = next(iter(arch))
    match rng.randrange(6):
        case 0:
            return {**arch, key: value(rng)}
        case 1:
            return {**arch, text(rng): value(rng)}
        case 2:
            return {text(rng): arch[key]}
        case 3:
            return {**arch, key: [text(rng)] * 6}
        case 4:
            return {**arch, key: str(arch[key]).replace("none", text(rng), 1) + text(rng)}
    return {"architectures": [arch, value(rng), {**arch, key: text(rng)}, text(rng), None]}


def answer(space: SearchSpace, rng: Random) -> str:
    """Write an answer."""
    makers: list[Callable[[], str]] = [
        lambda: text(rng),
        lambda: written(value(rng), rng),
        lambda: written(legal(space, rng), rng),
        lambda: rng.choice(FENCES).format(written(legal(space, rng), rng)),
        lambda: text(rng) + written(legal(space, rng), rng) + text(rng),
        lambda: written(illegal(space, rng), rng),
        lambda: (whole := written(legal(space, rng), rng))[: rng.randrange(len(whole))],
        lambda: written(illegal(space, rng), rng).replace('"', rng.choice(["'", "“", '\\"'])),
        lambda: rng.choice(["", " ", "\n", "null", "{}", "[]", "{", "}", '{"cell":', "{{", "\x00"]),
        lambda: text(rng) + "\n" + answer(space, rng),
    ]
    if rng.random() < 0.005:
        makers = [
            lambda: rng.choice(['{"a":', "[", "{", "<think>", "\\", '"']) * 20_000,
            lambda: written(legal(space, rng), rng) * 300,
            lambda: text(rng) * 2_000,
            lambda: '{"cell": ' + "9" * 20_000 + "}",
            lambda: '{"architectures": ' + "[" * 5_000 + "]" * 5_000 + "}",
        ]
    return rng.choice(makers)()


def message(space: SearchSpace, rng: Random) -> Any:
    """Return the message of an answer: mostly its text, at times in parts, refused, or thought."""
    said = answer(space, rng)
    match rng.randrange(20):
        case 0:
            return {"content": [{"type": "text", "text": said}, value(rng)]}
        case 1:
            return {"content": None, "refusal": said}
        case 2:
            return {"content": "", "reasoning_content": said}
        case 3:
            return {"content": said, "reasoning": value(rng), "tool_calls": value(rng)}
        case 4:
            return {"content": [{"type": text(rng), "text": value(rng)}, {"thinking": said}]}
        case 5:
            return {"role": text(rng), "content": value(rng, 1)}
    return {"role": "assistant", "content": said}


def body(space: SearchSpace, rng: Random) -> bytes:
    """Return what a server sends: a chat completion, whose other fields may be anything."""
    usage = {
        "prompt_tokens": number(rng),
        "completion_tokens": number(rng),
        "total_tokens": rng.choice([None, number(rng)]),
        "completion_tokens_details": rng.choice([None, {"reasoning_tokens": number(rng)}]),
    }
    rest = {
        "model": rng.choice(["m", text(rng), value(rng)]),
        "usage": rng.choice([None, usage, value(rng)]),
        "system_fingerprint": rng.choice([None, text(rng), value(rng)]),
        text(rng): value(rng),
    }
    choice = {
        "message": message(space, rng),
        "finish_reason": rng.choice(["stop", "length", None, text(rng)]),
        "logprobs": value(rng),
    }
    as_bytes = json.dumps({**rest, "choices": [choice]}, ensure_ascii=rng.random() < 0.5)
    return as_bytes.encode("utf-8", errors="surrogatepass")
