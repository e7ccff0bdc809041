"""An archive belongs to one search: whoever changes a setting is told, and gets no old rows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collm_nas.cli import session
from collm_nas.config.run import UserError
from collm_nas.core.archive import Archive, OtherSearch, Round
from collm_nas.core.identity import identity
from collm_nas.core.problem import Limit, Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.prompting.settings import Prompting
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.strategy.collm import CoLLM
from collm_nas.strategy.evolution import Evolution
from collm_nas.strategy.random import RandomSearch
from tests.conftest import ROOT, FixedChat, ToyWorld, options, search_config

BUDGET = Budget(evaluations=4, rounds=9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.jsonl"


def without_identity(path: Path) -> None:
    """Make an archive one of before archives said what they belong to."""
    rounds = [json.loads(line) for line in path.read_text().splitlines()]
    for round_ in rounds:
        round_.pop("search", None)
        round_.pop("chain")
    path.write_text("".join(json.dumps(round_) + "\n" for round_ in rounds))


# -- in a notebook ------------------------------------------------------------------------------


def test_a_cell_that_is_run_again_goes_on_with_its_archive(problem, path):
    for _ in range(2):
        archive = Archive.open(path, "val_accuracy")
        run_search(problem, RandomSearch(problem, 0, 2), ToyWorld(), archive, BUDGET)
        assert len(archive.evaluated()) == 4
    more = Budget(evaluations=6, rounds=99)
    run_search(problem, RandomSearch(problem, 0, 2), ToyWorld(), archive, more)
    assert len(archive.evaluated()) == 6


def test_another_seed_is_refused_and_not_answered_with_the_old_rows(problem, path):
    archive = Archive.open(path, "val_accuracy")
    run_search(problem, RandomSearch(problem, 0, 2), ToyWorld(), archive, BUDGET)
    before, other = path.read_bytes(), RandomSearch(problem, 1, 2)
    for again in (archive, Archive.open(path, "val_accuracy")):
        with pytest.raises(OtherSearch) as refused:
            run_search(problem, other, ToyWorld(), again, BUDGET)
        assert str(refused.value).splitlines() == [
            f"{path} belongs to a search with other settings:",
            "  strategy.seed: 0, now 1",
            "Continue it with what it began with, or give this search a file of its own (of a "
            "command: run_dir=…).",
        ]
    assert path.read_bytes() == before


class Wiser(ToyWorld):
    protocol = "toy, on other weights"


def changed(change: str, problem: Problem, path: Path) -> None:
    """Search as the archive did, but for one thing."""
    space, mode = problem.space, "feedback"
    strategy: Any = RandomSearch(problem, 0, 2)
    world = Wiser() if change == "evaluator" else ToyWorld()
    match change:
        case "space":
            space = NASBench201("cifar100")
            problem = Problem(space, ClosedForm(space))
        case "limits":
            problem = replace(problem, limits=(Limit("macs", maximum=120e6),))
        case "reference":
            problem = replace(problem, reference={"val_accuracy": 0.0, "macs": 2e8})
        case "hardware":
            problem = replace(problem, hardware=Doubled(space))
        case "strategy":
            strategy = Evolution(problem, 0, 2, 2, 1, 1, 0.1)
        case "strategy.batch_size":
            strategy = RandomSearch(problem, 0, 3)
        case "constraint_mode":
            mode = "prefilter"
    archive = Archive.open(path, "val_accuracy")
    run_search(problem, strategy, world, archive, BUDGET, constraint_mode=mode)


class Doubled(ClosedForm):
    """Other costs."""


CHANGES = [
    "space", "limits", "reference", "hardware", "evaluator", "strategy", "strategy.batch_size",
    "constraint_mode",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_results_depend_on_is_compared(change, problem, path):
    changed("", problem, path)
    changed("", problem, path)
    with pytest.raises(OtherSearch, match=rf"  {re.escape(change)}: .*, now "):
        changed(change, problem, path)


def test_settings_of_how_a_model_is_asked_are_compared_and_the_model_is_not(problem, path):
    def search(name: str, rounds: int, **settings: Any) -> None:
        chat = FixedChat(lambda purpose: "nothing")
        chat.name = name
        strategy = CoLLM(problem, 0, chat, chat, 8, Prompting(examples=2, **settings))
        archive = Archive.open(path, "val_accuracy")
        run_search(problem, strategy, ToyWorld(), archive, Budget(4, rounds))

    search("one", 1)
    search("another", 2)
    with pytest.raises(OtherSearch, match=r"strategy\.prompting\.memory: True, now False"):
        search("one", 3, memory=False)
    known = identity(problem, CoLLM(problem, 3, *[FixedChat(str)] * 2, 8), ToyWorld(), "")
    assert known["strategy.seed"] == 3


def test_a_search_that_recorded_nothing_binds_nobody(problem, path):
    archive = Archive.open(path, "val_accuracy")
    for seed in (0, 1):
        with pytest.raises(AssertionError, match="nothing is to be evaluated"):
            run_search(problem, RandomSearch(problem, seed, 2), Broken(), archive, BUDGET)
    run_search(problem, RandomSearch(problem, 2, 2), ToyWorld(), archive, BUDGET)
    assert Archive.read(path, "val_accuracy").search["strategy.seed"] == 2


class Broken(ToyWorld):
    def evaluate(self, arch):
        raise AssertionError("nothing is to be evaluated")


def test_numbers_of_notebooks_are_numbers(problem, path):
    strategy = RandomSearch(problem, np.int64(0), 2)
    strategy.batch_size = np.float64("inf")
    found = identity(problem, strategy, ToyWorld(), "feedback")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["strategy.seed"] == 0
    assert found["strategy.batch_size"] == "inf"


def test_what_is_no_setting_is_left_out(problem):
    class Own:
        def __init__(self, problem, table, device, resources):
            self.problem, self.table, self.device = problem, {0: object()}, device
            self.resources, self.found = resources, 3

    found = identity(problem, Own(problem, 0, "cpu", {"threads": 2}), ToyWorld(), "feedback")
    assert {n: x for n, x in found.items() if n.startswith("strategy")} == {
        "strategy": "Own", "strategy.device": "cpu"
    }  # fmt: skip


def test_an_older_archive_goes_on_and_is_bound_from_then_on(problem, path):
    strategy = RandomSearch(problem, 0, 2)
    run_search(problem, strategy, ToyWorld(), Archive.open(path, "val_accuracy"), BUDGET)
    whole = path.with_name("whole.jsonl")
    whole.write_bytes(path.read_bytes())
    without_identity(path)
    more = Budget(evaluations=6, rounds=9)
    for archive in (Archive.open(path, "val_accuracy"), Archive.open(whole, "val_accuracy")):
        run_search(problem, strategy, ToyWorld(), archive, more)
    read = Archive.read(path, "val_accuracy")
    assert read.rounds == Archive.read(whole, "val_accuracy").rounds
    assert ["search" in line for line in path.read_text().splitlines()] == [False, False, True]
    with pytest.raises(OtherSearch, match=r"strategy\.seed: 0, now 1"):
        run_search(problem, RandomSearch(problem, 1, 2), ToyWorld(), read, more)


def test_settings_that_one_version_does_not_know_are_not_compared(path):
    Archive.open(path, "val_accuracy").append(Round(0, "", ()))
    older = Archive.open(path, "val_accuracy")
    older.bind({"strategy": "RandomSearch", "strategy.of_old": 1})
    older.append(Round(1, "", ()))
    newer = Archive.open(path, "val_accuracy")
    newer.bind({"strategy": "RandomSearch", "strategy.brand_new": 1})
    newer.append(Round(2, "", ()))
    assert newer.search == {"strategy": "RandomSearch", "strategy.of_old": 1}


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["archive", "problem"])
def test_an_objective_that_nobody_measures_is_refused_at_once(wrong, problem, path):
    archive = Archive.open(path, "accuracy" if wrong == "archive" else "val_accuracy")
    if wrong == "problem":
        problem = replace(problem, objective="accuracy")
    with pytest.raises(ValueError, match=f"{wrong}.objective is 'accuracy'.*evaluator.objective"):
        run_search(problem, RandomSearch(problem, 0, 2), Broken(), archive, BUDGET)
    assert not path.exists()


def test_a_limit_on_what_is_no_cost_is_refused_with_the_nearest_name(space):
    limits = (Limit("mac", maximum=1e8), Limit("macs", maximum=1e8), Limit("speed", minimum=1))
    with pytest.raises(ValueError, match="not a cost") as refused:
        Problem(space, ClosedForm(space), limits, reference={"val_accuracy": 0, "parms": 1})
    assert str(refused.value).splitlines() == [
        "limits.mac: not a cost; did you mean macs? there are macs, params",
        "limits.speed: not a cost; there are macs, params",
        "pareto.parms: not a cost; did you mean params? there are macs, params",
    ]


# -- by command ---------------------------------------------------------------------------------


OF_OTHER_SPACES = {"evolution_ofa", "evolution_autoformer"}


@pytest.mark.parametrize("strategy", sorted({*options("strategy")} - OF_OTHER_SPACES))
def test_every_strategy_says_which_search_it_is(strategy, tmp_path):
    session.run(search_config("budget.evaluations=12", strategy=strategy), tmp_path)
    archive = tmp_path / "archive.jsonl"
    search = Archive.read(archive, "val_accuracy").search
    seeds = {
        x for name, x in search.items() if name.startswith("strategy.") and name.endswith(".seed")
    }
    assert seeds == {0}
    assert len(json.dumps(search)) < 2_000
    assert archive.read_text().count('"search": ') == 1


def test_a_run_directory_that_lost_its_settings_is_not_continued_by_another_search(tmp_path):
    run = search_config("budget.evaluations=5", strategy="random")
    session.run(run, tmp_path)
    (tmp_path / "config.yaml").unlink()
    other = search_config("budget.evaluations=9", "seed=1", "limits.macs=2e8", strategy="random")
    with pytest.raises(UserError) as refused:
        session.run(other, tmp_path)
    assert "  limits: [], now [['macs', None, 200000000.0]]\n  strategy.seed: 0, now 1\n" in str(
        refused.value
    )
    (tmp_path / "config.yaml").unlink()
    assert session.run(run, tmp_path)["evaluations"] == 5


def test_a_run_of_before_archives_said_what_they_belong_to_is_continued(tmp_path):
    session.run(search_config("budget.evaluations=5", strategy="random"), tmp_path)
    without_identity(tmp_path / "archive.jsonl")
    more = search_config("budget.evaluations=9", strategy="random")
    assert session.run(more, tmp_path)["evaluations"] == 9
    assert Archive.read(tmp_path / "archive.jsonl", "val_accuracy").search["strategy.seed"] == 0


def test_recorded_runs_are_read_without_it():
    runs = sorted((ROOT / "examples/recorded").rglob("archive.jsonl"))
    assert runs
    for path in runs:
        assert Archive.read(path, "val_accuracy").search == {}
