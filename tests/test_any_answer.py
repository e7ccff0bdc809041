"""Whatever a model writes, a search records it, tells it again, reports it and goes on.

The whole loop: answer, proposals, archive, next request, rounds.csv, report, continuing, compare.
The client is the real one; only the network is replaced, so that requests are truly encoded.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest

from collm_nas.cli import session
from collm_nas.cli.compose import recorded
from collm_nas.core.archive import Archive
from collm_nas.llm import bounded
from collm_nas.report.comparison import compare, draw, print_comparison, print_notes
from collm_nas.report.gathering import gather
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.answers import body
from tests.conftest import load, search_config

URL = "http://127.0.0.1:9/v1"  # nobody listens there
NAMES = [f"choices.{name}=x" for name in ("searchspace", "strategy", "llm", "recipe")]
ENDLESS = ["budget.evaluations=14000", "budget.idle_rounds=100000", "caps.usd=null"]


class Network(httpx2.BaseTransport):
    """Answers requests, which must be what servers can read, with anything."""

    def __init__(self) -> None:
        self.space = NASBench201()
        self.answers = 0
        self.seed = 0

    def __call__(self, **settings: Any) -> Network:
        return self

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.read().decode("utf-8"))
        for told in asked["messages"]:
            assert told["content"].encode("utf-8").strip(), "some servers refuse empty messages"
        purpose = request.headers["X-Purpose"]
        self.answers += 1
        content = body(self.space, random.Random(f"{self.seed}/{purpose}"))
        return httpx2.Response(200, headers={"Content-Type": "application/json"}, content=content)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    made = Network()
    monkeypatch.setattr(bounded.httpx2, "HTTPTransport", made)
    return made


def search(run_dir: Path, strategy: str, seed: int, rounds: int, *settings: str) -> None:
    """Search until so many rounds are done."""
    chosen = [f"seed={seed}", f"budget.rounds={rounds}", *ENDLESS, *settings]
    cfg = search_config(f"llm.model.base_url={URL}", *chosen, strategy=strategy, llm="gpt4")
    session.run(cfg, run_dir)


def check(run_dir: Path, rounds: int) -> None:
    """See that all files of a run can be read, and hold nothing that acts."""
    archive = Archive.read(run_dir / "archive.jsonl", "val_accuracy")
    assert len(archive.rounds) == rounds
    text = (run_dir / "rounds.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["round"]) for row in rows] == [*range(rounds)]
    assert all(not row["strategy"].startswith(("=", "+", "-", "@")) for row in rows)
    assert all(line.isprintable() for line in text.splitlines())
    result = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    assert result["finished"]
    assert result["rounds"] == rounds


def shows_only_text(out: str) -> bool:
    out.encode("utf-8")
    return all(line.isprintable() for line in out.split("\n"))


ONE_BY_ONE = ["prompting.one_by_one=true", "strategy.memory_rounds=2"]
RUNS: dict[str, tuple[str, list[str]]] = {
    "all": ("collm", ["strategy.report_rejected=true"]),
    "some": ("collm", ["strategy.memory_rounds=3"]),
    "more": ("collm", ["strategy.generator_memory=true"]),
    "each": ("collm", [*ONE_BY_ONE, "strategy.candidates=40", "llm.model.structured=text"]),
    "single": ("single_llm", []),
}
MANY = [*[("each", 50)] * 4, *[("some", 100)] * 3, ("all", 40), ("more", 40), *[("single", 99)] * 6]


def loop(name: str, folder: Path, network: Network, rounds: int, seed: int = 0) -> Path:
    """Search for half of the rounds, and on to the end with every report that there is."""
    strategy, settings = RUNS[name]
    run_dir = folder / f"{name}{seed}"
    network.seed = seed
    search(run_dir, strategy, seed, rounds // 2, *settings)
    check(run_dir, rounds // 2)
    search(run_dir, strategy, seed, rounds, *settings, "report=full")
    check(run_dir, rounds)
    return run_dir


def verdicts(run_dir: Path) -> set[str]:
    archive = Archive.read(run_dir / "archive.jsonl", "val_accuracy")
    return {record.verdict for record in archive.records()}


def compare_all(folder: Path) -> None:
    found = gather([str(folder)])
    for one in found.comparisons:
        print_comparison(one, compare(one))
    print_notes(found)
    draw(found.comparisons, folder / "picture.png")


@pytest.mark.parametrize("name", RUNS)
def test_whatever_was_answered_a_run_goes_on_and_is_replayed(name, network, tmp_path, capsys):
    rounds = 4 if name == "each" else 16
    run_dir = loop(name, tmp_path / "runs", network, rounds)
    strategy, settings = RUNS[name]
    search(tmp_path / "whole", strategy, 0, rounds, *settings)
    asked = network.answers
    session.run(recorded(load("search", f"replay={run_dir}", *NAMES)), tmp_path / "replayed")
    assert network.answers == asked
    archives = {
        (directory / "archive.jsonl").read_bytes()
        for directory in (run_dir, tmp_path / "whole", tmp_path / "replayed")
    }
    assert len(archives) == 1
    compare_all(tmp_path / "runs")
    assert {"feasible", "invalid"} <= verdicts(run_dir)
    assert shows_only_text(capsys.readouterr().out)


@pytest.mark.long
@pytest.mark.slow  # 10,000 answers
def test_ten_thousand_answers_go_through_the_whole_loop(network, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)  # nothing crashes here
    for seed, (name, rounds) in enumerate(MANY, start=1):
        run_dir = loop(name, tmp_path / "runs", network, rounds, seed)
        assert {"feasible", "invalid", "duplicate"} <= verdicts(run_dir)
    compare_all(tmp_path / "runs")
    assert network.answers >= 10_000
    assert shows_only_text(capsys.readouterr().out)
