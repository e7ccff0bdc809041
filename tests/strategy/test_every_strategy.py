"""Promises that every strategy keeps, and more that those without a language model do.

A new conf/strategy/*.yaml is tested without new code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from collm_nas.cli.roles import build_models
from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.archive import Archive
from collm_nas.core.problem import EvaluationFailed, Limit, Metrics, Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.evaluator.cache import CachedEvaluator
from collm_nas.testing.part_conformance import StrategyConformance
from tests.conftest import ToyWorld, load, options
from tests.strategy.toy import Staircase, WiderIsBetter, staircase

ENDLESS = 1_000_000
Make = Callable[..., SearchStrategy]


@cache
def settings(name: str, seed: int = 0) -> DictConfig:
    strategy = load("search", f"strategy={name}", "llm=scripted", f"seed={seed}").strategy
    if OmegaConf.is_dict(strategy.get("mutation_rate")):
        strategy.mutation_rate = 0.1  # instead of rates for the variables of another space
    return strategy


def built(name: str, problem: Problem, seed: int = 0) -> SearchStrategy:
    node, models = settings(name, seed), build_models(settings(name, seed))
    OmegaConf.resolve(node)
    plain = OmegaConf.masked_copy(node, [key for key in node if key != "models"])
    strategy: SearchStrategy = build(plain, problem=problem, **models)
    return strategy


def without_llm() -> Iterator[str]:
    for name in options("strategy"):
        if "models" not in settings(name):
            yield name


class TestEveryStrategy(StrategyConformance):
    """Language models are scripted, and know the cells alone; others search a tree of choices."""

    @pytest.fixture(autouse=True, params=options("strategy"))
    def chosen(self, request: pytest.FixtureRequest, problem: Problem) -> None:
        self.name = request.param
        self.problem = staircase(6) if self.name in without_llm() else problem  # type: ignore[misc]

    def build(self, seed: int) -> SearchStrategy:
        return built(self.name, self.problem, seed)


@pytest.fixture(params=list(without_llm()))
def make(request) -> Make:
    """Build the strategy anew, as a restarted process would."""
    return lambda problem, seed=0: built(request.param, problem, seed)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "archive.jsonl")


def open_archive(path: Path) -> Archive:
    return Archive.open(path, "val_accuracy")


def test_there_are_strategies_to_test():
    assert {"random", "regularized_evolution", "local_search"} <= set(without_llm())


def test_another_seed_searches_elsewhere(make, problem, archive):
    assert make(problem, 0).propose(archive) != make(problem, 1).propose(archive)


def test_a_small_space_searched_with_a_stop_after_every_round_is_as_without(make, tmp_path):
    problem, whole, parts = staircase(), tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    rounds = len(searched(problem, make, whole, Budget(18, ENDLESS)).rounds)
    for count in range(1, rounds + 1):
        searched(problem, make, parts, Budget(18, rounds=count))
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("patience", [1, 7, 14])
def test_a_crash_within_a_round_repeats_no_evaluation(make, patience, tmp_path):
    problem, path = staircase(), tmp_path / "archive.jsonl"
    evaluations, budget = tmp_path / "evaluations.jsonl", Budget(18, ENDLESS)
    before, after = WiderIsBetter(patience), WiderIsBetter()
    with pytest.raises(KeyboardInterrupt):
        run_search(
            problem,
            make(problem),
            CachedEvaluator(before, evaluations),
            open_archive(path),
            budget,
        )
    run_search(
        problem, make(problem), CachedEvaluator(after, evaluations), open_archive(path), budget
    )
    assert len(before.asked + after.asked) == len({*before.asked, *after.asked}) == 18
    whole = searched(problem, make, tmp_path / "whole.jsonl", budget)
    assert path.read_bytes() == whole.path.read_bytes()


def test_only_legal_new_architectures_within_the_limits_are_proposed(make, limited, archive):
    budget = Budget(40, ENDLESS)
    run_search(limited, make(limited), ToyWorld(), archive, budget, constraint_mode="prefilter")
    assert len(archive.feasible()) == 40
    assert {r.verdict for r in archive.records()} <= {"feasible", "skipped"}


@pytest.mark.parametrize("macs", [None, 40.0])
def test_an_exhausted_space_is_searched_once_and_ends_the_search(make, macs, archive):
    problem = staircase(limits=[Limit("macs", maximum=macs)] if macs else [])
    budget = Budget(ENDLESS, ENDLESS, idle_rounds=3)
    reason = run_search(problem, make(problem), WiderIsBetter(), archive, budget)
    every = {a for a in Staircase().architectures() if problem.is_feasible(a)}
    assert {r.arch for r in archive.records()} == every
    assert len(list(archive.records())) == len(every)
    assert reason.startswith("no new architecture in the last 3 rounds")
    assert f"after {len(every)} evaluations" in reason


def test_limits_that_nothing_meets_are_said_to_be_the_cause(make, archive):
    problem = staircase(limits=[Limit("macs", maximum=1.0)])
    with pytest.raises(NothingFeasible, match=r"macs at most 1\b.*Widen the limits"):
        make(problem).propose(archive)


def test_failed_evaluations_are_not_tried_again(make, archive):
    budget = Budget(20, ENDLESS)
    run_search(staircase(), make(staircase()), OftenOutOfMemory(), archive, budget)
    assert {r.verdict for r in archive.records()} - {"skipped"} == {"feasible", "failed"}
    assert len(archive.evaluated()) == 20


class OftenOutOfMemory(WiderIsBetter):
    def evaluate(self, arch: Architecture) -> Metrics:
        metrics = super().evaluate(arch)
        if len(self.asked) % 3 == 0:
            raise EvaluationFailed("out of memory")
        return metrics


def searched(problem: Problem, make: Make, path: Path, budget: Budget) -> Archive:
    archive = open_archive(path)
    run_search(problem, make(problem), WiderIsBetter(), archive, budget)
    return archive
