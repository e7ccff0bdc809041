"""The promises of the parts of a search, as test classes to inherit from.

    class TestMutations(StrategyConformance):
        problem = Problem(MySpace(), ClosedForm(MySpace()))

        def build(self, seed: int) -> SearchStrategy:
            return Mutations(self.problem, seed)

`EvaluatorConformance`, `CostModelConformance` and `ChatModelConformance` are used in the same way.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import CostModel, Evaluator, Metrics, Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace

ROUNDS = 4
SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")  # in the name of an environment variable


class StrategyConformance:
    """What every strategy promises to a search, which may be stopped and continued at any time."""

    problem: ClassVar[Problem]

    def build(self, seed: int) -> SearchStrategy:
        """Build the strategy anew, as a restarted process would."""
        raise NotImplementedError

    def searched(self, path: Path, rounds: int, strategy: SearchStrategy | None = None) -> Archive:
        """Search, or go on, to the end of so many rounds; accuracies are made up."""
        archive = Archive.open(path, self.problem.objective)
        budget = Budget(1_000_000, rounds=rounds)
        run_search(self.problem, strategy or self.build(0), _MadeUp(self.problem), archive, budget)
        return archive

    def test_the_same_archive_is_answered_by_the_same_batch(self, tmp_path: Path) -> None:
        archive = self.searched(tmp_path / "archive.jsonl", ROUNDS, strategy := self.build(0))
        before, first = archive.path.read_bytes(), strategy.propose(archive)
        assert archive.path.read_bytes() == before, "`propose` writes into the archive"
        random.seed(1)
        again = strategy.propose(archive)
        assert again == first, "asked again, it proposes something else: randomness is `round_rng`"
        restarted = self.build(0).propose(Archive.open(archive.path, self.problem.objective))
        assert restarted == first, "after a restart it proposes something else: it hides state"

    def test_an_archive_seen_before_leaves_no_trace(self, tmp_path: Path) -> None:
        archive = self.searched(tmp_path / "archive.jsonl", ROUNDS, strategy := self.build(0))
        empty = Archive.open(tmp_path / "empty.jsonl", self.problem.objective)
        for asked in (empty, archive, empty):
            fresh = self.build(0).propose(asked)
            assert strategy.propose(asked) == fresh, "what it proposes depends on other archives"

    def test_a_search_stopped_after_every_round_equals_one_that_was_not(
        self, tmp_path: Path
    ) -> None:
        whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
        count = len(self.searched(whole, ROUNDS).rounds)
        for rounds in range(1, count + 1):
            self.searched(parts, rounds)
        assert parts.read_bytes() == whole.read_bytes(), "continuing leads elsewhere"

    def test_every_candidate_is_canonical(self, tmp_path: Path) -> None:
        archive = self.searched(tmp_path / "archive.jsonl", ROUNDS)
        assert archive.evaluated(), f"nothing that it proposes in {ROUNDS} rounds can be evaluated"
        for arch in (r.arch for r in archive.records() if r.arch):
            canonical = self.problem.space.canonical(arch)
            assert canonical == arch, f"{arch} should be {canonical}: see `SearchSpace.build`"


class EvaluatorConformance:
    """What every evaluator promises."""

    evaluator: ClassVar[Evaluator]
    space: ClassVar[SearchSpace]

    def test_its_numbers_are_named_and_finite(self) -> None:
        objective, protocol = self.evaluator.objective, self.evaluator.protocol
        assert objective, "objective: the name of what is maximised, e.g. val_accuracy"
        assert protocol, "protocol: how the numbers come about, which are not compared with others"
        assert "\n" not in protocol, f"a protocol is named in one line, got {protocol!r}"
        for arch in _some(self.space):
            metrics = self.evaluator.evaluate(arch)
            assert objective in metrics, f"the objective {objective} is not in {dict(metrics)}"
            _check_numbers(metrics)

    def test_equal_architectures_get_equal_numbers_in_any_thread(self) -> None:
        archs = _some(self.space) * 2
        copies = [Architecture.of(json.loads(json.dumps(a.to_json()))) for a in archs]
        with ThreadPoolExecutor(2) as pool:
            found = [dict(metrics) for metrics in pool.map(self.evaluator.evaluate, copies)]
        half = len(found) // 2
        assert found[:half] == found[half:], "an architecture has two numbers"


class CostModelConformance:
    """What every cost model promises."""

    model: ClassVar[CostModel]
    space: ClassVar[SearchSpace]

    def test_costs_are_finite_numbers_of_the_same_names(self) -> None:
        found = [self.model.costs(arch) for arch in _some(self.space)]
        for costs in found:
            _check_numbers(costs)
            assert {*costs} == {*found[0]}, f"{[*costs]} are costed, and {[*found[0]]} before"
            wrong = {name: cost for name, cost in costs.items() if cost < 0}
            assert not wrong, f"costs must not be negative, got {wrong}"

    def test_equal_architectures_cost_the_same(self) -> None:
        for arch in _some(self.space):
            first, again = self.model.costs(arch), self.model.costs(arch)
            assert again == first, f"{arch} costs {dict(first)} and then {dict(again)}"


class ChatModelConformance:
    """What every chat model promises."""

    messages: ClassVar[Sequence[Message]] = (
        Message("system", "You answer briefly."),
        Message("user", "Name a number."),
    )
    purpose: ClassVar[str] = "llm/0"

    def build(self) -> ChatModel:
        """Build the model."""
        raise NotImplementedError

    def test_it_says_what_it_is(self) -> None:
        model = self.build()
        assert model.name, "name: it is shown in every output"
        known = model.is_language_model in (True, False)
        assert known, f"is_language_model must be True or False, got {model.is_language_model!r}"

    def test_its_settings_are_json_without_secrets(self) -> None:
        settings = json.dumps(self.build().settings)
        variables = [n for n in os.environ if n.upper().endswith(SECRET) and len(os.environ[n]) > 7]
        leaked = [name for name in variables if os.environ[name] in settings]
        assert not leaked, f"settings are stored: they must not hold what {leaked} hold"
        assert json.dumps(self.build().settings) == settings, "settings differ after a restart"

    def test_it_answers(self) -> None:
        messages = list(self.messages)
        reply = self.build().complete(messages, purpose=self.purpose, schema=None)
        assert messages == [*self.messages], "it changes the messages that it is given"
        assert isinstance(reply.text, str), f"text must be text, got {reply.text!r}"
        usage = vars(reply.usage)
        counts = {name: usage[name] for name in ("input", "output", "reasoning", "cached")}
        negative = {name: count for name, count in counts.items() if count < 0}
        assert not negative, f"tokens must not be negative, got {negative}"
        assert reply.attempts >= 1, f"an answer takes an attempt at least, got {reply.attempts}"


class _MadeUp:
    """Accuracies that only look like some, and are always the same."""

    protocol = "made up"

    def __init__(self, problem: Problem) -> None:
        self.objective = problem.objective

    def evaluate(self, arch: Architecture) -> Metrics:
        digest = hashlib.sha256(str(arch).encode()).digest()
        return {self.objective: 50 + int.from_bytes(digest[:2], "big") / 65_536 * 40}


def _some(space: SearchSpace) -> list[Architecture]:
    rng = random.Random("conformance")
    return [space.sample(rng) for _ in range(3)]


def _check_numbers(numbers: Mapping[str, float]) -> None:
    wrong = {name: x for name, x in numbers.items() if not math.isfinite(x)}
    assert not wrong, f"numbers must be finite, got {wrong}"
