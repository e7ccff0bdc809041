"""`search.py searchspace=…` with the weights of a supernet, from the command to the record."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig

from collm_nas.cli import session
from collm_nas.config.run import UserError
from collm_nas.core.archive import Archive
from collm_nas.core.files import Journal
from tests.conftest import ROOT, load

pytestmark = pytest.mark.usefixtures("cache")
CHOICES = ("searchspace", "strategy", "llm", "recipe")
SETTINGS = [
    "data=digits",
    "llm=scripted",
    "evaluator.changes.bn_images=200",
    "evaluator.changes.images=100",
    "budget.evaluations=4",
]


def config(supernet: Path, *overrides: str) -> DictConfig:
    names = [f"choices.{group}=x" for group in CHOICES]
    usual = ["searchspace=shufflenet_tiny", f"supernet={supernet}", *SETTINGS, *names]
    return load("search", *usual, "report=line", *overrides)


def lines(run_dir: Path, name: str = "evaluations.jsonl") -> list[dict[str, object]]:
    return Journal(run_dir / name, dict).entries


def test_every_number_of_a_search_carries_its_protocol(
    weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    result = session.run(config(weights["shufflenet_tiny"], "report=full"), run_dir)
    protocol = result["protocol"]
    assert re.fullmatch(r"clean,images=100,bn_images=200:[0-9a-f]{16}", protocol)
    assert {line["protocol"] for line in lines(run_dir)} == {protocol}
    records = Archive.open(run_dir / "archive.jsonl", "val_accuracy").evaluated()
    assert [record.protocol for record in records] == [protocol] * 4
    assert {"val_accuracy", "val_top5", "macs"} <= set(records[0].metrics)
    assert protocol in (run_dir / "rounds.csv").read_text()
    shown = capsys.readouterr().out
    assert "clean,images=100" in shown
    assert re.search(r"costs +│ macs [\d,]+, params [\d,]+ +│", shown), "top-5 is no cost"


def test_a_model_is_not_told_that_top5_is_a_cost(weights: dict[str, Path], tmp_path: Path) -> None:
    collm = config(weights["shufflenet_tiny"], "strategy=collm", "strategy.candidates=2")
    session.run(collm, tmp_path / "run")
    calls = (tmp_path / "run" / "llm_calls.jsonl").read_text()
    assert "macs" in calls
    assert "top5" not in calls


def test_searches_share_what_they_measure_and_each_is_charged(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    path = weights["shufflenet_tiny"]
    results = [
        session.run(config(path, "strategy=random", *changes), tmp_path / name)
        for name, changes in (("a", ()), ("b", ("workers=2",)))
    ]
    assert [result["evaluations"] for result in results] == [4, 4]
    assert results[0]["best"] == results[1]["best"]
    assert (tmp_path / "a/archive.jsonl").read_bytes() == (
        tmp_path / "b/archive.jsonl"
    ).read_bytes()
    (shared,) = (tmp_path / "cache" / "evaluations").rglob("*.jsonl")
    assert len(Journal(shared, dict).entries) == 4


def test_a_run_goes_on_with_the_same_weights_alone(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    path, moved, run_dir = weights["shufflenet_tiny"], tmp_path / "moved", tmp_path / "run"
    session.run(config(path), run_dir)
    moved.write_bytes(path.read_bytes())
    assert session.run(config(moved, "budget.evaluations=5"), run_dir)["evaluations"] == 5
    with pytest.raises(UserError, match=r"evaluator\.changes\.images: 100 -> 90"):
        session.run(config(path, "evaluator.changes.images=90"), run_dir)

    import torch

    from collm_nas.config.run import build
    from collm_nas.spaces.checkpoint import save_supernet
    from collm_nas.spaces.supernet import build_supernet

    space = build(config(path).searchspace)
    torch.manual_seed(1)
    save_supernet(moved, build_supernet(space), space)
    with pytest.raises(UserError, match=r"holds results of the protocol clean.*have changed"):
        session.run(config(moved), run_dir)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["supernet=/nowhere/w"], ["/nowhere/w does not exist", "python train_supernet.py"]),
        (["supernet=official"], ["no weights are published", "searchspace=shufflenet"]),
        (["searchspace=mobilenet_tiny"], ["another space", "config key: searchspace"]),
        (
            ["evaluator.protocol=best"],
            ["evaluator.protocol must be 'clean'", "got 'best'"],
        ),
        (["evaluator.changes.bn=mean"], ["evaluator.changes.bn must be 'exact', 'ema' or 'none'"]),
        (["evaluator.device=tpu"], ["evaluator.device must be 'auto', 'cpu' or 'cuda'"]),
        (["+evaluator.batch=3"], ["evaluator.batch is no setting", "changes, data, device"]),
        (
            ["evaluator.device=tpu", "evaluator.protocol=best"],
            ["evaluator.device must be", "evaluator.protocol must be"],
        ),
    ],
)
def test_what_does_not_work_is_told_before_a_model_is_asked(
    overrides: list[str], told: list[str], weights: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        session.run(config(weights["shufflenet_tiny"], *overrides), tmp_path / "run")
    assert all(part in str(refused.value) for part in told), str(refused.value)
    assert not (tmp_path / "run" / "llm_calls.jsonl").exists()


def command(weights: Path, run_dir: Path) -> list[str]:
    usual = ["searchspace=shufflenet_tiny", f"supernet={weights}", *SETTINGS, "strategy=random"]
    return [sys.executable, "search.py", *usual, "budget.evaluations=12", f"run_dir={run_dir}"]


def start(weights: Path, run_dir: Path, cache: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(weights, run_dir),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLLM_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_pays_nothing_twice(
    sign: signal.Signals, weights: dict[str, Path], tmp_path: Path
) -> None:
    path, whole, stopped = weights["shufflenet_tiny"], tmp_path / "whole", tmp_path / "stopped"
    finish(start(path, whole, tmp_path / "one"))
    for evaluations in (2, 5):
        process = start(path, stopped, tmp_path / "other")
        while process.poll() is None and len(lines(stopped)) < evaluations:
            time.sleep(0.02)
        if sign == signal.SIGINT:  # a terminal sends it to all the processes
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
    before = (stopped / "evaluations.jsonl").read_bytes()
    finish(start(path, stopped, tmp_path / "other"))
    assert (stopped / "archive.jsonl").read_bytes() == (whole / "archive.jsonl").read_bytes()
    assert (stopped / "evaluations.jsonl").read_bytes().startswith(before.rpartition(b"\n")[0])
    architectures = [json.dumps(line["arch"]) for line in lines(stopped)]
    assert len(set(architectures)) == len(architectures) == 12
