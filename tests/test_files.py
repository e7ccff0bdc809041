"""A journal notices whatever was done to it, heals what a crash tore, and reads without a trace."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import TypedDict

from collm_nas.core.files import (
    CorruptFile,
    Journal,
    cut,
    read_json,
    replacing,
    write_atomically,
)
from tests.conftest import ROOT


class Step(TypedDict):
    number: int
    text: str


def open_(path: Path) -> Journal[Step]:
    return Journal(path, Step)


def written(path: Path, count: int = 4) -> bytes:
    journal = open_(path)
    for number in range(count):
        journal.append({"number": number, "text": f"step {number}: 'é' \n"})
    return path.read_bytes()


def numbers(path: Path) -> list[int]:
    return [entry["number"] for entry in open_(path).entries]


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "j.jsonl"
    data = written(path)
    assert numbers(path) == [0, 1, 2, 3]
    assert [json.loads(line)["number"] for line in data.splitlines()] == [0, 1, 2, 3]
    assert data == written(tmp_path / "again.jsonl"), "the same entries give the same bytes"


def test_the_checksums_are_those_of_the_docs(tmp_path):
    text = (ROOT / "docs" / "search.md").read_text().partition("## Checksums")[2]
    code = text.partition("```python\n")[2].partition("```")[0]
    path = tmp_path / "j.jsonl"
    data = written(path)
    code = code.replace("RUN/archive.jsonl", str(path))
    exec(code, {})
    path.write_bytes(data.replace(b"step 2", b"step 7"))
    with pytest.raises(AssertionError, match="line 3"):
        exec(code, {})


def test_reading_leaves_no_trace(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(written(path) + b'{"number": 4, "te')
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())
    journal = open_(path)
    assert [e["number"] for e in journal.entries] == [0, 1, 2, 3]
    assert journal.torn
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.iterdir())) == before
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("count", [1, 3])
def test_every_flipped_bit_is_noticed(count, tmp_path):
    path = tmp_path / "j.jsonl"
    data = written(path, count)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(CorruptFile, match=r"j\.jsonl, line \d"):
            open_(path)


def moved_lines(data: bytes) -> Iterator[bytes]:
    lines = data.splitlines(keepends=True)
    for i, line in enumerate(lines):
        rest = lines[:i] + lines[i + 1 :]
        if i < len(lines) - 1:
            yield b"".join(rest)  # deleted
        for j in range(len(rest) + 1):
            if j != i:
                yield b"".join([*rest[:j], line, *rest[j:]])  # moved
            yield b"".join([*lines[:j], line, *lines[j:]])  # doubled


def test_every_deleted_doubled_or_moved_line_is_noticed(tmp_path):
    path = tmp_path / "j.jsonl"
    for changed in moved_lines(written(path)):
        path.write_bytes(changed)
        with pytest.raises(CorruptFile):
            open_(path)


def test_a_line_of_another_file_does_not_fit(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    data = written(one)
    open_(other).append({"number": 9, "text": ""})
    one.write_bytes(data + other.read_bytes())
    with pytest.raises(CorruptFile, match="line 5 is damaged: its checksum does not fit"):
        open_(one)


def test_a_file_that_was_torn_anywhere_heals(tmp_path):
    path = tmp_path / "j.jsonl"
    data = written(path, 3)
    for end in range(len(data)):
        path.write_bytes(data[:end])
        journal = open_(path)
        for number in range(len(journal.entries), 3):
            journal.append({"number": number, "text": f"step {number}: 'é' \n"})
        assert path.read_bytes() == data


def test_zeros_that_a_power_cut_leaves_heal(tmp_path):
    path = tmp_path / "j.jsonl"
    data = written(path, 2)
    path.write_bytes(data + bytes(100))
    open_(path).append({"number": 2, "text": ""})
    assert numbers(path) == [0, 1, 2]


def test_lines_without_checksums_are_read_and_protected_from_then_on(tmp_path):
    path = tmp_path / "j.jsonl"
    old = "".join(json.dumps({"number": n, "text": "old"}) + "\n" for n in range(2))
    path.write_text(old)
    assert numbers(path) == [0, 1]
    open_(path).append({"number": 2, "text": "new"})
    assert numbers(path) == [0, 1, 2]
    assert path.read_text().startswith(old)
    path.write_text(path.read_text().replace("old", "odd", 1))
    with pytest.raises(CorruptFile, match="line 3"):
        open_(path)


def test_a_line_that_lost_its_checksum_is_noticed(tmp_path):
    path = tmp_path / "j.jsonl"
    lines = written(path).decode().splitlines()
    lines[2] = re.sub(', "chain": "[0-9a-f]+"', "", lines[2])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptFile, match="line 3 is damaged: it has no checksum"):
        open_(path)


@pytest.mark.parametrize(
    "line",
    [
        "null", "[]", "1e999", "NaN", '"text"', "", "{", "{}", "[" * 100_000, '{"a":' * 100_000,
        '{"number": 1}', '{"number": 1, "text": null}', '{"number": 1.5, "text": ""}',
        '{"number": true, "text": ""}', '{"number": NaN, "text": ""}',
        '{"number": "1", "text": ""}', '{"number": 1e999, "text": ""}',
        '{"number": 1, "text": "", "more": 1}', "9" * 10_000,
    ],
)  # fmt: skip
def test_json_of_another_shape_is_named_with_its_line(line, tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text('{"number": 0, "text": ""}\n' + line + "\n")
    with pytest.raises(CorruptFile, match=r"j\.jsonl, line 2 is damaged: "):
        open_(path)
    path.write_bytes(b'{"number": 0, "text": ""}\n{"number": 1, "text": "\xff"}\n')
    with pytest.raises(CorruptFile, match=r"line 2 is damaged: it is no JSON"):
        open_(path)


def test_the_way_out_is_a_command_that_works(tmp_path):
    run = tmp_path / "a run"
    run.mkdir()
    path = run / "evaluations.jsonl"
    path.write_bytes(written(path).replace(b"step 2", b"step 7"))
    (run / "archive.jsonl").touch()
    with pytest.raises(CorruptFile) as refused:
        open_(path)
    command = str(refused.value).splitlines()[-1]
    subprocess.run(command, shell=True, check=True)
    assert numbers(tmp_path / "a run-mended" / path.name) == [0, 1]
    assert not (tmp_path / "a run-mended" / "archive.jsonl").exists()
    shutil.rmtree(tmp_path / "a run-mended")


def test_another_writer_is_noticed(tmp_path):
    path = tmp_path / "j.jsonl"
    one, other = open_(path), open_(path)
    one.append({"number": 0, "text": ""})
    with pytest.raises(OSError, match="written to by another process"):
        other.append({"number": 0, "text": ""})
    assert numbers(path) == [0]


def test_numbers_that_are_none_are_not_written(tmp_path):
    path = tmp_path / "j.jsonl"
    with pytest.raises(ValueError, match="JSON compliant"):
        open_(path).append({"number": float("nan"), "text": ""})  # type: ignore[typeddict-item]
    assert not path.exists()


def test_what_is_returned_is_what_is_read(tmp_path):
    path = tmp_path / "j.jsonl"
    halves = "\ud83d" + "\ude00"  # of one character; a lone half is kept as it is
    told = open_(path).append({"number": 0, "text": halves + " \ud800"})
    assert told["text"] == open_(path).entries[0]["text"] == "\U0001f600 \ud800"


def test_a_journal_is_cut(tmp_path):
    path = tmp_path / "j.jsonl"
    data = written(path)
    cut(path, 2)
    journal = open_(path)
    for entry in (2, 3):
        journal.append({"number": entry, "text": f"step {entry}: 'é' \n"})
    assert path.read_bytes() == data


def test_thousands_of_lines_cost_as_much_each_as_the_first(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = open_(path)

    def seconds() -> float:
        start = time.process_time()
        for number in range(300):
            journal.append({"number": number, "text": ""})
        return time.process_time() - start

    first = seconds()
    for _ in range(8):
        last = seconds()
    assert last < 4 * first + 0.05


def test_a_file_of_one_value_names_the_line_of_what_is_wrong(tmp_path):
    path = tmp_path / "r.json"
    write_atomically(path, json.dumps({"number": 1, "text": {"a": 1}}, indent=2))
    with pytest.raises(CorruptFile, match=r"r\.json, line 3 is damaged: text: .* Delete it"):
        read_json(path, Step, "Delete it")
    path.write_text('{\n"number": 1,\n"text": }')
    with pytest.raises(CorruptFile, match=r"r\.json, line 3 is damaged: it is no JSON"):
        read_json(path, Step, "Delete it")
    write_atomically(path, '{"number": 1, "text": "", "more": []}')
    assert read_json(path, Step, "")["number"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    "content", ["a \u00e9 \ud800\r\n", b"\x00\xff\r\n", memoryview(b"\x00\xff")]
)
def test_a_file_is_replaced_by_text_or_bytes_as_they_are(tmp_path, content):
    path = tmp_path / "f"
    path.write_text("something longer that was there before")
    write_atomically(path, content)
    text = content if isinstance(content, str) else None
    assert path.read_bytes() == (text.encode(errors="backslashreplace") if text else content)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_that_fails_half_way_is_as_it_was(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("old")

    def fail_half_way() -> None:
        with replacing(path) as partial:
            assert (partial.parent, partial.suffix) == (tmp_path, ".csv")
            partial.write_text("half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]


def test_a_file_takes_its_name_once_it_and_then_its_folder_is_on_disk(tmp_path, monkeypatch):
    synced = []

    def fsync(file: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{file}"), (tmp_path / "f").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "f", "text")
    assert synced == [(f"{tmp_path}/.part-f", False), (str(tmp_path), True)]


def test_what_cannot_be_written_fails_before_the_work(tmp_path):
    work = []
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no folder" / "f"):
        work.append("begun")
    assert not work


def test_no_other_code_replaces_files():
    """Neither by hand nor half: a file that must be whole is written by `core/files.py`."""
    renaming = re.compile(r"os\.(replace|rename)\(|\.(rename|replace)\(\w+\)|shutil\.move")
    sources = (ROOT / "src" / "collm_nas").rglob("*.py")
    found = {p.name for p in sources if renaming.search(p.read_text())}
    assert found == {"files.py", "cache.py"}
