"""Values that were copied onto the command line from elsewhere, such as Python's tuples.

Hydra has a grammar of its own, in which many of them are errors. One that it cannot parse is
quoted, so that it arrives as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def with_text_quoted(arguments: Sequence[str], key: str) -> list[str]:
    """Return the command's arguments with the value of `key` in quotes, where Hydra needs them."""
    return [_quoted(a, key) if a.startswith(f"{key}=") else a for a in arguments]


def _quoted(argument: str, key: str) -> str:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        text = argument.removeprefix(f"{key}=")
        # backslashes count twice before a quote, and once elsewhere
        escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", r"\'"), text)
        return f"{key}='{escaped}'"
    return argument
