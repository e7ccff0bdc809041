"""Our evaluators, cost models and chat models keep their promises, and broken ones are noticed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Evaluator, Metrics, Problem
from collm_nas.core.strategy import Batch, SearchStrategy, round_rng
from collm_nas.data.digits import Digits
from collm_nas.evaluator.predictor.evaluator import PredictorEvaluator
from collm_nas.evaluator.predictor.file import save
from collm_nas.evaluator.supernet import SupernetEvaluator
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.fake_llm.server import serve
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.hardware.latency_table import LatencyTable
from collm_nas.hardware.memory import ActivationMemory
from collm_nas.llm.base import ChatModel, Message
from collm_nas.llm.ledger import Ledger, LedgeredChat
from collm_nas.llm.openai import OpenAIChat
from collm_nas.llm.replay import ReplayChat
from collm_nas.prompting.dialect import dialect_of
from collm_nas.spaces.checkpoint import save_supernet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.supernet import build_supernet
from collm_nas.testing.part_conformance import (
    ChatModelConformance,
    CostModelConformance,
    EvaluatorConformance,
    StrategyConformance,
)
from tests.evaluator.conftest import space_of
from tests.evaluator.test_predictor import toy_predictor
from tests.hardware.test_latency import model as measured_latency
from tests.hardware.test_latency_table import written
from tests.strategy.toy import Staircase, staircase

CELLS = NASBench201()
TINY = space_of("shufflenet_tiny")


class TestTable(EvaluatorConformance):
    space, evaluator = CELLS, TabularEvaluator(CELLS)


class TestPredictor(EvaluatorConformance):
    space = Staircase()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def predictor(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("predictor") / "toy.safetensors"
        save(path, toy_predictor(cls.space))
        cls.evaluator = PredictorEvaluator(cls.space, str(path))


class TestSupernet(EvaluatorConformance):
    space = TINY

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def supernet(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("supernet")
        save_supernet(folder / "tiny.safetensors", build_supernet(TINY), TINY)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLLM_CACHE", str(folder))
            cls.evaluator = SupernetEvaluator(
                TINY, str(folder / "tiny.safetensors"), Digits, "clean",
                {"bn_images": 100, "bn_batch": 100, "images": 100}, "cpu", 1,
            )  # fmt: skip
            yield


class TestCostModels(CostModelConformance):
    space = TINY

    @pytest.fixture(
        scope="class", autouse=True, params=["closed_form", "memory", "latency", "latency_table"]
    )
    @classmethod
    def model_of(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("costs")
        match request.param:
            case "closed_form":
                cls.model = ClosedForm(TINY)
            case "memory":
                cls.model = ActivationMemory(TINY)
            case "latency":
                cls.model = measured_latency(folder, TINY)
            case "latency_table":
                cls.model = LatencyTable(TINY, written(TINY, folder / "table.json"))


class TestScripted(ChatModelConformance):
    messages = (Message("user", "Propose 3 architectures."),)
    purpose = "generator/0"

    def build(self) -> ChatModel:
        return ScriptedChat(CELLS)


class TestServed(TestScripted):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        with serve("sensible", dialect_of(CELLS)) as url, pytest.MonkeyPatch.context() as patch:
            patch.setenv("MY_API_KEY", "sk-0123456789abcdef")
            cls.url = url
            yield

    def build(self) -> ChatModel:
        return OpenAIChat("scripted", base_url=self.url, api_key_env="MY_API_KEY")


class TestKept(TestScripted):
    """A model behind the ledger, and its replay."""

    @pytest.fixture(autouse=True, params=["ledger", "replay"])
    def run(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        path = tmp_path / "llm_calls.jsonl"
        self.kept = LedgeredChat(ScriptedChat(CELLS), Ledger(path))
        if request.param == "replay":
            self.kept.complete(self.messages, purpose=self.purpose)
            self.kept = ReplayChat(str(path))

    def build(self) -> ChatModel:
        return self.kept


# -- what breaks a promise is noticed ------------------------------------------------------------


class Remembers:
    """Proposes something else each time it is asked."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.rng = problem, random.Random(seed)

    def propose(self, archive: Archive) -> Batch:
        return Batch.of(*(self.problem.sample(self.rng) for _ in range(3)))


class Global:
    """Draws from the generator that all share."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem

    def propose(self, archive: Archive) -> Batch:
        return Batch.of(*(self.problem.sample(random) for _ in range(3)))  # type: ignore[arg-type]


class Uncut:
    """Proposes genes that have no effect."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed

    def propose(self, archive: Archive) -> Batch:
        rng, space = round_rng(self.seed, archive), self.problem.space
        return Batch.of(*(Architecture.of(space.full_genes(space.sample(rng), rng)) for _ in "abc"))


@pytest.mark.parametrize(
    ("strategy", "test"),
    [
        (Remembers, "test_the_same_archive_is_answered_by_the_same_batch"),
        (Remembers, "test_an_archive_seen_before_leaves_no_trace"),
        (Remembers, "test_a_search_stopped_after_every_round_equals_one_that_was_not"),
        (Global, "test_the_same_archive_is_answered_by_the_same_batch"),
        (Uncut, "test_every_candidate_is_canonical"),
    ],
)
def test_a_mistake_of_a_strategy_is_noticed(
    strategy: type[Remembers], test: str, tmp_path: Path
) -> None:
    class Suite(StrategyConformance):
        problem = staircase(9)

        def build(self, seed: int) -> SearchStrategy:
            return strategy(self.problem, seed)

    with pytest.raises(AssertionError):
        getattr(Suite(), test)(tmp_path)


class Drifts:
    """Numbers that grow whenever one is asked for."""

    objective, protocol = "val_accuracy", "toy"

    def __init__(self) -> None:
        self.count = 0

    def evaluate(self, arch: Architecture) -> Metrics:
        self.count += 1
        return {"val_accuracy": float(self.count)}

    costs = evaluate


class Nameless(Drifts):
    """An objective that is none of the metrics."""

    objective = "test_accuracy"


@pytest.mark.parametrize(
    ("evaluator", "test"),
    [
        (Drifts(), "test_equal_architectures_get_equal_numbers_in_any_thread"),
        (Nameless(), "test_its_numbers_are_named_and_finite"),
    ],
)
def test_a_mistake_of_an_evaluator_is_noticed(evaluator: Evaluator, test: str) -> None:
    suite = EvaluatorConformance()
    suite.space, suite.evaluator = CELLS, evaluator  # type: ignore[misc]
    with pytest.raises(AssertionError):
        getattr(suite, test)()


def test_a_cost_model_that_drifts_is_noticed() -> None:
    suite = CostModelConformance()
    suite.space, suite.model = CELLS, Drifts()  # type: ignore[misc]
    with pytest.raises(AssertionError, match="and then"):
        suite.test_equal_architectures_cost_the_same()


class Leaks(ScriptedChat):
    """Stores its key."""

    def __init__(self) -> None:
        super().__init__(CELLS)
        self.settings = {"key": "sk-0123456789abcdef"}


def test_a_chat_model_that_stores_its_key_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Suite(ChatModelConformance):
        def build(self) -> ChatModel:
            return Leaks()

    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    with pytest.raises(AssertionError, match="SOME_API_KEY"):
        Suite().test_its_settings_are_json_without_secrets()
