"""The converter: official files in, one small table out, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collm_nas.spaces.benchmark import Split, TableError, read_table
from collm_nas.spaces.nasbench201.cells import all_keys, name_of
from collm_nas.spaces.nasbench201.convert import convert, main
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.evaluator.benchmark_files import OFFICIAL, SRC, needs_shared, official_folder, rows_of

NAMES = [name_of(key) for key in all_keys()]


@needs_shared
def test_the_columns_equal_those_of_the_reference(tmp_path: Path) -> None:
    """Every column of the reference that the official files have: accuracies, seeds, costs."""
    assert convert(OFFICIAL, tmp_path / "t.csv", partial=True) == 3
    reference = {row["arch"]: row for row in rows_of()}
    for row in rows_of(tmp_path / "t.csv"):
        expected = reference[row.pop("arch")]
        compared = [column for column in row if column in expected]
        assert len(compared) == 3 * (2 + 3 + 4)  # data sets x (means + seeds + costs)
        for column in compared:
            assert float(row[column]) == pytest.approx(float(expected[column])), column


CASES: list[tuple[Split, int | None]] = [("valid", 999), ("test", None)]


@needs_shared
@pytest.mark.parametrize("suffix", [".csv.xz", ".parquet"])
def test_the_target_reads_like_the_source(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"t{suffix}"
    convert(OFFICIAL, target, partial=True)
    for split, seed in CASES:
        before, after = (
            read_table(NASBench201(), split, path, seed, partial=True)
            for path in (OFFICIAL, target)
        )
        assert dict(before.cells) == dict(after.cells)


@pytest.mark.slow
def test_a_whole_folder_makes_a_whole_table(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "f", NAMES)
    assert main([str(folder), str(tmp_path / "t.csv.xz")]) == 0
    table = read_table(NASBench201(), "valid", tmp_path / "t.csv.xz")
    assert [table.cells[key] for key in all_keys()] == [i % 100 for i in range(15_625)]


def test_a_cell_without_a_third_seed_has_an_empty_column(tmp_path: Path) -> None:
    convert(official_folder(tmp_path / "f", NAMES[:1]), tmp_path / "t.csv", partial=True)
    (row,) = rows_of(tmp_path / "t.csv")
    assert (row["cifar10_valid_seed888"], row["cifar10_valid_seed999"]) == ("0.0", "")


def test_half_a_download_needs_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = official_folder(tmp_path / "f", NAMES[:2])
    assert main([str(folder), str(tmp_path / "t.csv")]) == 1
    assert "has 2 of the 15,625 cells" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["f"]


def test_it_writes_nothing_when_the_source_is_damaged(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "f", NAMES[:3])
    (folder / "000002.pickle.pbz2").write_bytes(b"BZh9 damaged")
    with pytest.raises(TableError, match=r"000002\.pickle\.pbz2"):
        convert(folder, tmp_path / "t.csv", partial=True)
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("f", "t.txt", "the target must end in one of .csv"),
        ("nowhere", "t.csv", "nowhere does not exist"),
        ("f", "there.csv", "there.csv exists"),
        ("f", "no-such-folder/t.csv", "No such file or directory"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(
    source: str, target: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official_folder(tmp_path / "f", NAMES[:1])
    (tmp_path / "there.csv").write_text("precious")
    assert main([str(tmp_path / source), str(tmp_path / target), "--partial"]) == 1
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.csv").read_text() == "precious"


def test_a_killed_conversion_leaves_no_target(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "f", NAMES[:50])
    fifo = folder / "000025.pickle.pbz2"  # reading it blocks: the conversion is half way
    fifo.unlink()
    os.mkfifo(fifo)
    target = tmp_path / "t.csv"
    command = [sys.executable, "-m", "collm_nas.spaces.nasbench201.convert", "--partial"]
    environment = {**os.environ, "PYTHONPATH": SRC}
    with subprocess.Popen([*command, str(folder), str(target)], env=environment) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / ".part-t.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert not target.exists()

    fifo.unlink()
    assert main([str(folder), str(target), "--partial"]) == 0
    assert len(rows_of(target)) == 49
    assert sorted(os.listdir(tmp_path)) == ["f", "t.csv"]
