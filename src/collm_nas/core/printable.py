"""Text that others wrote, made fit to be shown.

Models and servers may write anything: sequences that move a terminal's cursor or change its title,
directions that turn text around, halves of characters that no file can hold, cells that a
spreadsheet would run. Files of a run keep it all; whatever shows it, asks here first.
"""

from __future__ import annotations

import unicodedata
from typing import TextIO

KEPT = "\n\t"
FORMULA = ("=", "+", "-", "@")  # how a cell begins that Excel, Calc and Sheets compute


def printable(text: str) -> str:
    """Write what is no visible character of `text` as its escape, e.g. `\\x1b`, but line ends."""
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Return one line of printable text, for a cell of a table or an entry of a list."""
    return printable(" ".join(text.split()))


def say(*lines: object, stream: TextIO | None = None) -> None:
    """Print what may hold names or texts that others chose."""
    print(*(printable(str(line)) for line in lines), sep="\n", file=stream, flush=True)


def spreadsheet_cell(text: str) -> str:
    """Return one line of printable text that a spreadsheet shows and does not compute."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULA) else line


def caption(text: str) -> str:
    """Return printable text for a picture, where dollars would begin a formula."""
    return printable(text).replace("$", r"\$")


def sendable(text: str) -> str:
    """Return what a request can carry: others are refused, and would be again in every round.

    Halves of characters, which UTF-8 cannot express, are replaced; a message without any text,
    which some servers refuse, says that it has none.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole if whole.strip() else "(no text)"


def _is_shown(character: str) -> bool:
    return (
        character.isprintable()
        or character in KEPT
        or unicodedata.category(character) == "Zs"  # spaces of typography and of other scripts
    )
