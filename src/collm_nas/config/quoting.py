"""Values as the command line takes them: Hydra has a grammar of its own, and so has the shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)  # what both take as it is


def quoted(text: str) -> str:
    """Quote for Hydra: a backslash escapes quotes, and itself only in front of one or at the end.

    https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values
    """
    if PLAIN.fullmatch(text):
        return text
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + m[2].replace('"', r"\""), text)
    return f'"{escaped}"'


def with_text_quoted(arguments: Sequence[str], key: str) -> list[str]:
    """Quote the value of `key` where it is an error in Hydra's grammar, so that it arrives as text.

    It may have been copied onto the command line from elsewhere, as Python's tuples are.
    """
    return [_parsable(a, key) if a.startswith(f"{key}=") else a for a in arguments]


def shell_quoted(argument: str) -> str:
    """Quote for a shell; what is not printable is written as its bytes, `$'\\x1b'`."""
    if argument.isprintable():
        return shlex.quote(argument)
    characters = (c if c.isprintable() and c not in "'\\" else _bytes(c) for c in argument)
    return f"$'{''.join(characters)}'"


def _parsable(argument: str, key: str) -> str:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return f"{key}={quoted(argument.removeprefix(f'{key}='))}"
    return argument


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
