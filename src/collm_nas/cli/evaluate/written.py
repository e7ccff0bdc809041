"""Reading an architecture that a person typed, copied from another tool's output, or has in a file.

Only the notation is read here. What the values mean is for the space to say (`transcribe` knows
its original tools, `decode` checks every value), and no value is changed on the way.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SUFFIXES = (".json", ".yaml", ".yml", ".txt")
# What the readers raise; brackets that are nested too deeply are no architecture either.
UNREADABLE = (ValueError, SyntaxError, RecursionError, MemoryError, yaml.YAMLError)
NOTATIONS: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval, yaml.safe_load)


def read_written(text: str) -> Any:
    """Read JSON, Python's notation or YAML, from `text` or the file that it names.

    Text in none of these is returned as it is: some spaces write an architecture as a string.

    Raises:
        ValueError: it names a file that is not there or cannot be read.
    """
    return _lists(_parsed(_content(text).strip()))


def _content(text: str) -> str:
    path = Path(text).expanduser()
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    except OSError as error:  # a text that is too long for a name, for one, names no file
        if text.endswith(SUFFIXES):
            raise ValueError(f"arch={text} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"arch={text} is no text file: {error}") from error
    if text.endswith(SUFFIXES) and not any(bracket in text for bracket in "{[("):
        raise ValueError(f"arch={text}: there is no such file")
    return text


def _parsed(text: str) -> Any:
    for read in NOTATIONS:
        try:
            return read(text)
        except UNREADABLE:
            continue
    return text


def _lists(value: Any) -> Any:
    """Return `value` with lists for tuples, as JSON has them."""
    match value:
        case dict():
            return {key: _lists(item) for key, item in value.items()}
        case list() | tuple():
            return [_lists(item) for item in value]
    return value
