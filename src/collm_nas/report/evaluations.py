"""What was measured of found architectures, in `evaluation.json`: a list, one entry for each.

A repeated evaluation replaces its entry; nothing else is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collm_nas.config.run import UserError
from collm_nas.core.files import write_atomically

FILE = "evaluation.json"
KEY = ("mode", "architecture", "protocol", "seeds")  # what makes two entries the same evaluation


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


def read(path: Path) -> list[dict[str, Any]]:
    """Read all entries; none if there is no file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [dict(entry) for entry in entries]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is no list of evaluations ({error}). Move it away and repeat the command."
        ) from error


def _key(entry: Mapping[str, Any]) -> list[Any]:
    return [entry.get(name) for name in KEY]
