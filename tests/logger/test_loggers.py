"""Loggers log every round once, however often a search was stopped."""

from __future__ import annotations

import csv
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.config.run import Stopped, UserError
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.llm.ledger import Ledger, Totals
from collm_nas.logger.base import LoggedRun, Metrics
from collm_nas.logger.csv import CSVLogger
from collm_nas.logger.snapshot import Snapshot, snapshots
from collm_nas.report.errors import WRONG_INPUT
from tests.conftest import ROOT, search_config
from tests.strategy.toy import staircase

NOTE = "=HYPERLINK(\"http://x\")\x1b[2J\n\ud800, 'é'"


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "rounds.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rounds_are_those_of_the_archive_whatever_happened_to_the_file(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    session.run(search_config("budget.evaluations=30"), whole)
    with pytest.raises(Stopped):
        session.run(search_config("budget.evaluations=30", "caps.calls=3"), broken)
    expected = (whole / "rounds.csv").read_bytes()
    lines = expected.splitlines(keepends=True)
    assert (broken / "rounds.csv").read_bytes() == b"".join(lines[:2])
    (broken / "rounds.csv").write_bytes(lines[0] + lines[1][:9])
    session.run(search_config("budget.evaluations=30"), broken)
    assert (broken / "rounds.csv").read_bytes() == expected
    (broken / "rounds.csv").unlink()
    session.run(search_config("budget.evaluations=30"), broken)
    assert (broken / "rounds.csv").read_bytes() == expected
    told = rows(whole)
    assert [int(row["round"]) for row in told] == list(range(len(told)))
    assert [int(row["llm_calls"]) for row in told] == [2 * (i + 1) for i in range(len(told))]
    assert told[-1]["evaluations"] == "30"


def test_snapshots_count_what_the_archive_holds(tmp_path):
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    one, two, three, *_ = staircase().space.architectures()
    archive.append(
        Round(0, "a", (Record("feasible", one, {"val_accuracy": 50.0}), Record("invalid", None)))
    )
    archive.append(
        Round(
            1,
            "b",
            (
                Record("infeasible", two, {"val_accuracy": 90.0}),
                Record("duplicate", one, {"macs": 1.0}),
                Record("feasible", three, {"val_accuracy": 40.0}),
            ),
        )
    )
    first, second = snapshots(archive, lambda n: Totals(calls=n, input=10 * n), "clean:0")[1:]
    assert (first.round, first.evaluations, first.best, first.invalid) == (0, 1, 50.0, 1)
    assert second == Snapshot(1, 3, 50.0, 1, 1, 1, 2, 20, 0.0, "clean:0", "b")
    assert Ledger(tmp_path / "none").totals(1) == Totals()


def test_notes_neither_act_in_a_spreadsheet_nor_break_it(tmp_path):
    snapshot = Snapshot(0, 1, 50.0, 0, 0, 0, 2, 10, 0.0, "clean:0", NOTE)
    logger = CSVLogger(LoggedRun(tmp_path, 0, {}, [snapshot.metrics()]))
    logger.log(snapshot.metrics(), 1)
    for row in rows(tmp_path):
        assert row["strategy"] == "'=HYPERLINK(\"http://x\")\\x1b[2J \\ud800, 'é'"


def test_steps_that_happen_again_are_in_the_file_once(tmp_path):
    """A training goes on at a checkpoint, before the last steps that were logged."""
    folder = tmp_path / "phases" / "all"
    folder.mkdir(parents=True)

    def visit(last_step: int, *logged: tuple[int, dict[str, float]]) -> None:
        logger = CSVLogger(LoggedRun(tmp_path, last_step, {}, phase="all"))
        for step, metrics in logged:
            logger.log(metrics, step)
        logger.finish()

    visit(0, (2, {"loss": -2.5}), (4, {"loss": 1.5}), (4, {"val": 50.0}), (6, {"loss": 1.0}))
    visit(4, (6, {"loss": 1.25}))
    lines = (folder / "steps.csv").read_text().splitlines()
    assert lines == ["step,loss,val", "2,-2.5,", "4,1.5,", "4,,50.0", "6,1.25,"]


def test_several_loggers_and_ones_own_log_a_search_at_once(tmp_path):
    own = "{_target_: tests.logger.test_loggers.Own, file: own.txt}"
    session.run(
        search_config("logger=[csv,tensorboard]", f"+logger.own={own}", *LIGHTNING), tmp_path
    )
    steps = [f"{row['round']} {row['evaluations']}" for row in rows(tmp_path)]
    assert (tmp_path / "own.txt").read_text().splitlines() == [*steps, "over"]
    with (tmp_path / "tensorboard" / "metrics.csv").open(newline="") as file:
        logged = [f"{row['step']} {row['evaluations']}" for row in csv.DictReader(file)]
    assert logged == steps


def test_a_package_that_a_logger_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(UserError, match="logger: Neither `tensorboard` nor `tensorboardX`"):
        session.run(search_config("logger=tensorboard"), tmp_path)


LIGHTNING = ["logger.tensorboard.logger._target_=pytorch_lightning.loggers.CSVLogger"]


class Own:
    """A logger as a user may write it."""

    def __init__(self, run: LoggedRun, file: str) -> None:
        self.path = run.folder / file

    def log(self, metrics: Metrics, step: int) -> None:
        with self.path.open("a") as file:
            file.write(f"{step} {metrics['evaluations']}\n")

    def finish(self) -> None:
        with self.path.open("a") as file:
            file.write("over\n")


def wandb_steps(run_dir: Path) -> list[list[tuple[int, dict[str, str]]]]:
    """Return the step and the values of every line of history, by offline file, oldest first."""
    from wandb.proto import wandb_internal_pb2 as pb

    visits = []
    for path in sorted(run_dir.glob("wandb/offline-run*/run-*.wandb")):
        lines = []
        for data in leveldb_records(path.read_bytes()):
            record = pb.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                values = {i.key or "/".join(i.nested_key): i.value_json for i in items}
                lines.append((record.history.step.num, values))
        visits.append(lines)
    return visits


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Read W&B's file: blocks of 32 KB, in which records may be parted (LevelDB's log format)."""
    position, parts = 7, b""
    while position + 7 <= len(data):
        if (left := 32_768 - position % 32_768) < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def search(run_dir: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["search.py", "llm=scripted", "logger=wandb", f"run_dir={run_dir}", "report=line"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, *command, *overrides],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT / "src"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_continued_offline_run_goes_on_at_its_step(tmp_path):
    for evaluations in (20, 40):
        done = search(tmp_path, f"budget.evaluations={evaluations}", WANDB_MODE="offline")
        assert done.returncode == 0, done.stderr
    first, second = wandb_steps(tmp_path)
    rounds = len(Archive.read(tmp_path / "archive.jsonl", "val_accuracy").rounds)
    logged = [(step, int(values["round"])) for step, values in first + second if "round" in values]
    assert logged == [(n, n) for n in range(rounds)]
    assert second[-1][0] == rounds - 1
    assert any(key.startswith("candidates") for key in second[-1][1])


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "0" * 40])
def test_wandb_without_key_or_network_is_told_in_a_line(key, tmp_path):
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "5"}
    if key:
        nowhere["WANDB_API_KEY"] = key
    refused = search(tmp_path / "run", HOME=str(tmp_path), **nowhere)
    assert refused.returncode == WRONG_INPUT
    assert "Traceback" not in refused.stderr
    assert re.search(r"^error: logger=wandb: .*WANDB_MODE=offline", refused.stderr, re.MULTILINE)
    assert not (tmp_path / "run" / "llm_calls.jsonl").exists()
