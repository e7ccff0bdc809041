"""Keys never reach a file or a screen: they are taken out of whatever a server sends back.

A server may echo a key whole, in part, or spelled with the escapes of JSON, which somebody behind
us would resolve.
"""

from __future__ import annotations

import re
from bisect import bisect_right

HIDDEN = "[key]"
SHORTEST_PART = 8  # characters: shorter parts of a key say nothing and occur by chance
SHORTEST_KEY = 12  # shorter ones are placeholders of servers that need none, such as EMPTY
QUOTED_CHARACTERS = 300  # of a foreign text in a message
KEY_LIKE = re.compile(r"\b(sk|key|xai|gsk|hf)[-_][\w*.\-]{6,}|Bearer \S+")
# From the first backslash of a run on: from every one of it would take time quadratic in the run.
ESCAPE = re.compile(r"(?<!\\)\\+(?:u([0-9a-fA-F]{4})|/)")


def scrub(text: str, key: str, sent: str = "") -> str:
    """Take `key` and its parts out of `text`, in time linear in its length.

    Args:
        sent: what the server was told besides the key: a part that occurs there is no secret.
    """
    if len(key) < SHORTEST_KEY:
        return text
    plain, places = _unescaped(text)
    secret = bytearray(len(plain))  # 1 where a character belongs to the key
    for whole in re.finditer(re.escape(key), plain):
        secret[whole.start() : whole.end()] = b"\1" * len(key)
    plain = plain.replace(key, "\0" * len(key))  # most parts then occur no more
    for i in range(len(key) - SHORTEST_PART + 1):
        part = key[i : i + SHORTEST_PART]
        start = -1 if part in sent else plain.find(part)
        while start >= 0:
            secret[start : start + len(part)] = b"\1" * len(part)
            start = plain.find(part, start + 1)
    clean, end = [], 0
    for run in re.finditer(b"\1+", secret):
        clean += [text[end : _place(places, run.start())], HIDDEN]
        end = _place(places, run.end())
    return "".join([*clean, text[end:]])


def quote(text: str, key: str) -> str:
    """Make a foreign text fit for a message: one short line without the key or the like of it."""
    line = " ".join(scrub(KEY_LIKE.sub(HIDDEN, text), key).split())
    return line if len(line) <= QUOTED_CHARACTERS else line[: QUOTED_CHARACTERS - 1] + "…"


def _unescaped(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Resolve escapes; return also where the pieces of the result come from.

    Each pair holds a position in the result and the one in `text` that it stands for.
    """
    pieces, places, size, end = [], [(0, 0)], 0, 0
    for match in ESCAPE.finditer(text):
        pieces += [text[end : match.start()], chr(int(match[1], 16)) if match[1] else "/"]
        size += match.start() - end
        end = match.end()
        places += [(size, match.start()), (size + 1, end)]
        size += 1
    return "".join([*pieces, text[end:]]), places


def _place(places: list[tuple[int, int]], position: int) -> int:
    here, there = places[bisect_right(places, position, key=lambda pair: pair[0]) - 1]
    return there + position - here
