"""The files of a run: read without touching them, extended line by line, replaced as a whole.

A journal is a file of JSON objects, one a line, whose lines are chained: each ends with a checksum
of its content and of the line before. So a line that was edited, deleted, doubled or moved is
noticed, and only the last one can be torn: by a crash, and then it is written again. Journals of
versions before checksums are read as they are, and chained from where they are continued.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar

Line = TypeVar("Line")

CHECKSUM = re.compile(rb', "chain": "([0-9a-f]{16})"\}\Z')


class CorruptFile(ValueError):
    """A file that no crash of ours explains: someone or something else changed it."""

    def __init__(self, path: Path, line: int, problem: str, way_out: str) -> None:
        super().__init__(f"{path}, line {line} is damaged: {problem}. {way_out}")


class Journal(Generic[Line]):
    """A file of chained lines, for one thread of one process. Opening it only reads.

    `entries` is what the file held then; `torn` tells that a crash cut a line after them, and
    `size` how many bytes it has if nobody else writes.

    Args:
        path: the file; it need not exist.
        shape: a `TypedDict` that every line must match.
        of_run: whether the file belongs to one run; others are caches.

    Raises:
        CorruptFile: a line is not one that was appended here.
    """

    def __init__(self, path: Path, shape: type[Line], *, of_run: bool = True) -> None:
        self.path = path
        self.of_run = of_run
        self._head = ""  # the checksum of the last line
        data = path.read_bytes() if path.exists() else b""
        *lines, rest = data.split(b"\n")
        objects = self._parse(lines)
        if _follows_object(rest):
            self.refuse(len(objects), "its end was changed")
        self.entries: list[Line] = self._checked(objects, shape)
        self.torn = bool(rest)  # the next line takes its place
        self.size = len(data)
        self._end = len(data) - len(rest)

    def append(self, entry: Line) -> Line:
        """Append an entry and force it to disk; return it as it will be read back.

        Raises:
            OSError: the disk is full or not writable, or another process writes to the file. All
                entries before are safe.
            ValueError: a number is not finite.
        """
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        content = text.encode("utf-8", errors="backslashreplace")[:-1]  # lone surrogates
        link = _link(self._head, content)
        line = content + f', "chain": "{link}"}}\n'.encode()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if os.fstat(file).st_size != self.size:
                raise OSError(f"{self.path} is being written to by another process")
            self._write(file, line)
        finally:
            self.size = os.fstat(file).st_size
            os.close(file)
        if not self._end:
            _sync_folder(self.path.parent)
        self._end += len(line)
        self._head, self.torn = link, False
        read_back: Line = json.loads(content + b"}")
        return read_back

    def refuse(self, index: int, problem: str) -> NoReturn:
        """Say what is wrong with the entry at `index`, and how to go on without it.

        Raises:
            CorruptFile: always.
        """
        way_out = "It only saves work: move it away, and what is needed is measured again."
        if self.of_run:
            old, new = (shlex.quote(f"{self.path.parent}{end}") for end in ("", "-mended"))
            name = shlex.quote(self.path.name)
            # The archive follows from the other files, and the result from the archive.
            way_out = (
                "Restore the file from a backup, or continue a copy of the run without this line "
                f"and what follows it:\n  cp -r {old} {new} && "
                f"rm -f {new}/archive.jsonl {new}/result.json && "
                f"head -n {index} {old}/{name} > {new}/{name}"
            )
        raise CorruptFile(self.path, index + 1, problem, way_out)

    def _parse(self, lines: list[bytes]) -> list[dict[str, Any]]:
        """Read the lines; see that each fits the one before it."""
        objects, chained = [], False
        for index, line in enumerate(lines):
            found = CHECKSUM.search(line)
            content = line[: found.start()] if found else line[:-1]
            try:
                obj = _parse(content + b"}" if found else line)
            except (ValueError, RecursionError) as error:
                self.refuse(index, f"it is no JSON ({error})")
            if not isinstance(obj, dict):
                self.refuse(index, f"expected an object, got {type(obj).__name__}")
            self._head = _link(self._head, content)
            if (found and found[1].decode() != self._head) or "chain" in obj:
                self.refuse(index, "its checksum does not fit it and the line before")
            if chained and not found:
                self.refuse(index, "it has no checksum")
            chained = bool(found)
            objects.append(obj)
        return objects

    def _checked(self, objects: list[dict[str, Any]], shape: type[Line]) -> list[Line]:
        if objects and (problem := _misfit(objects, shape, "forbid")):
            (index, *place), wrong = problem
            self.refuse(int(index), _told(place, wrong))
        return objects  # type: ignore[return-value]

    def _write(self, file: int, line: bytes) -> None:
        """Write over what a crash left half, which is gone only when the new line is there."""
        os.lseek(file, self._end, os.SEEK_SET)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.ftruncate(file, self._end + len(line))
        os.fsync(file)


def cut(path: Path, lines: int) -> None:
    """Drop what a journal holds after its first `lines` lines."""
    kept = path.read_bytes().split(b"\n")[:lines]
    os.truncate(path, sum(len(line) + 1 for line in kept))


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Replace what is in `path`: whoever reads it sees the old content or the new, never half."""
    if isinstance(content, str):
        content = content.encode("utf-8", errors="backslashreplace")  # lone surrogates
    with replacing(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write, which replaces `path` when the block ends without an error.

    It lies beside `path` and has the same suffix. A kill leaves at most it; it is written over.
    """
    partial = path.with_name(f".part-{path.name}")
    try:
        partial.touch()  # what cannot be written fails now, not after minutes of work
        yield partial
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, once all of it is on disk; a power cut undoes neither."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def read_json(path: Path, shape: type[Line], way_out: str) -> Line:
    """Read a file of one JSON value, which matches `shape` (of objects: has at least its keys).

    Raises:
        CorruptFile: it does not; with `way_out`.
        FileNotFoundError: there is none.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        value: Line = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise CorruptFile(path, line, f"it is no JSON ({error})", way_out) from error
    require_shape(path, text, value, shape, way_out)
    return value


def require_shape(path: Path, text: str, value: object, shape: Any, way_out: str) -> None:
    """See that what was read from a file matches `shape`; see `read_json`.

    Args:
        text: of the file, JSON or YAML.

    Raises:
        CorruptFile: it does not.
    """
    if problem := _misfit([value], shape, "allow"):
        (_, *place), wrong = problem
        raise CorruptFile(path, _line_of(text, place), _told(place, wrong), way_out)


def _link(head: str, content: bytes) -> str:
    return sha256(head.encode() + content).hexdigest()[:16]


def _parse(line: bytes) -> Any:
    return json.loads(line.decode("utf-8"), parse_constant=_no_number)


def _misfit(
    values: Sequence[object], shape: Any, extra: Literal["allow", "forbid"]
) -> tuple[tuple[int | str, ...], str] | None:
    """Say where the first of `values` fails to match `shape`, and how; None if all match."""
    # 0.2 s: a new run need not wait for it
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    exact = ConfigDict(strict=True, extra=extra, allow_inf_nan=False)
    try:
        TypeAdapter(list[shape], config=exact).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        return first["loc"], first["msg"]
    return None


def _told(place: Sequence[int | str], wrong: str) -> str:
    return ": ".join([*([".".join(map(str, place))] if place else []), wrong])


def _line_of(text: str, place: Sequence[int | str]) -> int:
    """Find the line where the value at `place` begins, or the last that is known on the way."""
    import yaml

    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 0  # JSON is YAML, too
    for step in place:
        match node:
            case yaml.MappingNode():
                entries = {key.value: (key, value) for key, value in node.value}
            case yaml.SequenceNode():
                entries = {index: (value, value) for index, value in enumerate(node.value)}
            case _:
                break
        if step not in entries:
            break
        key, node = entries[step]
        line = key.start_mark.line
    return line + 1


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is too large a number")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _follows_object(rest: bytes) -> bool:
    """Tell whether `rest` is more than a line that a crash cut short."""
    text = rest.decode("utf-8", errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end < len(text)


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut; the content of files is synced apart."""
    if os.name == "posix":  # elsewhere folders cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
