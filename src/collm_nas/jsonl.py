"""Append-only files of one JSON object per line: every result that must survive a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class CorruptFile(ValueError):
    """A line that no crash of ours explains: someone or something else changed the file."""


def read_jsonl(path: Path, *, cut_torn_line: bool = True) -> list[dict[str, Any]]:
    """Read all objects; skip a last line that a crash tore in two, and cut it off.

    Args:
        cut_torn_line: False leaves the file as it is, for readers that do not own it.

    Raises:
        CorruptFile: a line before the last one is not JSON.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if cut_torn_line and len(whole) < len(data):
        os.truncate(path, len(whole))
    return [_parse(path, number, line) for number, line in enumerate(whole.splitlines(), start=1)]


def append_jsonl(path: Path, obj: dict[str, Any]) -> None:
    """Append one object and force it to disk.

    Raises:
        OSError: the disk is full or not writable. What was written before stays readable: the
            torn line is cut off by the next reader.
    """
    line = json.dumps(obj, ensure_ascii=False) + "\n"
    with path.open("ab") as file:
        file.write(line.encode("utf-8", errors="backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        obj = json.loads(line)
    except ValueError as error:
        raise CorruptFile(
            f"{path}, line {number} is damaged ({error}). Restore the file from a backup, or cut "
            f"it before this line to continue from there."
        ) from error
    assert isinstance(obj, dict)
    return obj
