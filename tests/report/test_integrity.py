"""A run whose files were changed is neither continued, nor evaluated, nor compared."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.config.run import UserError
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.files import CorruptFile
from collm_nas.report.stored import read_run
from tests.conftest import search_config

SHORT = "budget.evaluations=20"
FILES = ["archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl"]
CHAIN = re.compile(', "chain": "[0-9a-f]{16}"')


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    session.run(search_config(SHORT), run_dir)
    return run_dir


@pytest.fixture
def run_dir(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refused(run_dir: Path, message: str) -> None:
    for visit in (
        lambda: session.run(search_config(SHORT), run_dir),
        lambda: read_run(run_dir),
    ):
        with pytest.raises(UserError, match=message):
            visit()


def edit(path: Path, change: Callable[[list[str]], list[str]], old: bool = False) -> None:
    """Change the lines of a file; `old`: leave no checksum in any file of the run."""
    for other in path.parent.glob("*.jsonl") if old else ():
        other.write_text(CHAIN.sub("", other.read_text()))
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "an edited number": lambda lines: [
        *lines[:-1],
        re.sub(r'("val_accuracy": |"text": ").{2}', r"\g<1>99", lines[-1], count=1),
    ],
    "a deleted line": lambda lines: lines[1:],
    "a deleted last line": lambda lines: lines[:-1],
    "a doubled line": lambda lines: [*lines, lines[-1]],
    "a moved line": lambda lines: [*lines[1:], lines[0]],
    "null": lambda lines: ["null\n", *lines[1:]],
    "a list": lambda lines: [*lines[:-1], "[]\n"],
    "no number": lambda lines: [*lines, "NaN\n"],
    "deep brackets": lambda lines: ["[" * 100_000 + "\n", *lines],
    "nothing left": lambda lines: [],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_with_its_line(change, name, run_dir):
    edit(run_dir / name, CHANGES[change])
    # where the last evaluations are gone, it is the archive that holds more than was measured
    refused(run_dir, r"(archive|evaluations|llm_calls)\.jsonl, line \d+ is damaged: ")


@pytest.mark.parametrize("change", [c for c in CHANGES if c not in ("a doubled line",)])
def test_an_archive_without_checksums_is_held_against_the_evaluations(change, run_dir):
    edit(run_dir / "archive.jsonl", CHANGES[change], old=True)
    refused(run_dir, r"archive\.jsonl, line \d+ is damaged: ")


def test_a_run_without_checksums_is_read_and_continued(run_dir, finished, tmp_path):
    for path in run_dir.glob("*.jsonl"):
        path.write_text(CHAIN.sub("", path.read_text()))
    before = (run_dir / "archive.jsonl").read_text()
    assert len(read_run(run_dir).archive.evaluated()) == 20
    session.run(search_config("budget.evaluations=30"), run_dir)
    assert (run_dir / "archive.jsonl").read_text().startswith(before)
    whole = Path(shutil.copytree(finished, tmp_path / "whole"))
    session.run(search_config("budget.evaluations=30"), whole)
    assert read_run(run_dir).archive.rounds == read_run(whole).archive.rounds


@pytest.mark.parametrize("name", FILES)
def test_the_copy_that_is_offered_ends_like_the_run(name, run_dir, finished):
    edit(run_dir / name, CHANGES["an edited number"])
    with pytest.raises(UserError) as error:
        session.run(search_config(SHORT), run_dir)
    subprocess.run(str(error.value).splitlines()[-1], shell=True, check=True)
    mended = run_dir.with_name("run-mended")
    session.run(search_config(SHORT), mended)
    assert (mended / "archive.jsonl").read_bytes() == (finished / "archive.jsonl").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_torn_line_heals_for_good(name, run_dir, finished):
    path = run_dir / name
    path.write_bytes(path.read_bytes()[:-15])
    read_run(run_dir)
    for _ in range(2):
        session.run(search_config("budget.evaluations=25"), run_dir)
    read_run(run_dir)
    archive = (run_dir / "archive.jsonl").read_bytes()
    assert archive.startswith((finished / "archive.jsonl").read_bytes().rpartition(b"\n")[0][:1000])


def test_reading_a_run_writes_nothing(run_dir):
    for name in FILES:
        with (run_dir / name).open("a") as file:
            file.write('{"another process": "is writ')
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(run_dir.iterdir())}
    read_run(run_dir)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(run_dir.iterdir())} == before


@pytest.mark.parametrize(
    "content",
    ["null", "[]", "1e999", "NaN", "", "{", "[" * 100_000, "{}", '{"selected_on": null}', "\x00"],
)
def test_a_result_of_another_shape_is_refused_with_its_line(content, run_dir):
    (run_dir / "result.json").write_text(content)
    refused(run_dir, r"result\.json, line 1 is damaged: .*Delete it")
    (run_dir / "result.json").unlink()
    session.run(search_config(SHORT), run_dir)
    read_run(run_dir)


def test_a_round_that_is_not_the_next_one_is_refused(tmp_path):
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    with pytest.raises(ValueError, match="round 1 cannot follow 0 rounds"):
        archive.append(Round(1, "", ()))
    with pytest.raises(ValueError, match="JSON compliant"):
        archive.append(Round(0, "", (Record("invalid", None, {"x": float("nan")}),)))
    archive.append(Round(0, "", ()))
    archive.path.write_text(json.dumps({"index": 1, "note": "", "records": []}) + "\n")
    with pytest.raises(CorruptFile, match="line 1 is damaged: it is round 1, not 0"):
        Archive.open(archive.path, "val_accuracy")


def test_an_archive_that_is_read_cannot_be_extended(tmp_path):
    path = tmp_path / "archive.jsonl"
    with pytest.raises(FileNotFoundError, match="no archive at"):
        Archive.read(path, "val_accuracy")
    writer = Archive.open(path, "val_accuracy")
    writer.append(Round(0, "", ()))
    reader = Archive.read(path, "val_accuracy")
    writer.append(Round(1, "", ()))
    assert len(reader.rounds) == 1
    with pytest.raises(ValueError, match="opened to be read"):
        reader.append(Round(1, "", ()))
