"""What was measured of found architectures, in `evaluation.json`: a list, one entry for each.

A repeated evaluation replaces its entry; nothing else is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required

from typing_extensions import TypedDict

from collm_nas.config.run import UserError
from collm_nas.core.files import CorruptFile, read_json, write_atomically

FILE = "evaluation.json"
KEY = ("mode", "architecture", "protocol", "seeds")  # what makes two entries the same evaluation


class Entry(TypedDict, total=False):
    """An evaluation in the file, as far as others read it."""

    mode: Required[str]
    architecture: Any  # as the space encodes it
    seeds: list[int]
    weights: list[str] | str  # a file for each seed; of an export which ones shipped


def keep(directory: Path, entry: Mapping[str, Any]) -> Path:
    """Add `entry` to the file in `directory`; return its path.

    Raises:
        UserError: the file is damaged.
    """
    path = directory / FILE
    directory.mkdir(parents=True, exist_ok=True)
    new = json.loads(json.dumps(entry))  # as it will be read back
    others = [old for old in read(path) if _key(old) != _key(new)]
    write_atomically(path, json.dumps([*others, new], indent=2, ensure_ascii=False))
    return path


def read(path: Path) -> list[Entry]:
    """Read all entries; none if there is no file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        return read_json(path, list[Entry], "Move it away and repeat the command.")
    except CorruptFile as error:
        raise UserError(str(error)) from error


def _key(entry: Mapping[str, Any]) -> list[Any]:
    return [entry.get(name) for name in KEY]
