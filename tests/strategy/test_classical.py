"""What makes each classical strategy itself, checked on archives that tell it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.encoding import one_hot, option_indices
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.strategy.evolution import Evolution
from collm_nas.strategy.gp import GaussianProcess, normal_scores
from collm_nas.strategy.local_search import LocalSearch
from collm_nas.strategy.regularized_evolution import RegularizedEvolution
from collm_nas.strategy.reinforce import Reinforce
from collm_nas.strategy.rejection_sampling import rejection_sample
from tests.conftest import SHARED, ToyWorld, load
from tests.strategy.toy import Staircase, WiderIsBetter, staircase

TABLE = SHARED / "data" / "nasbench201.csv.xz"


def cell(digits: str) -> Architecture:
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    return Architecture.of({"op": [names[int(d)] for d in digits]})


def stairs(*widths: Value) -> Architecture:
    return Architecture.of({"depth": [len(widths)], "width": widths})


def share(items: Sequence[object], wanted: object) -> float:
    return sum(item == wanted for item in items) / len(items)


def differences(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a["op"], b["op"], strict=True))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(tmp_path / "archive.jsonl", "val_accuracy")


def tell(archive: Archive, *evaluated: tuple[Architecture, float], note: str = "") -> None:
    """Append a round in which these architectures were evaluated."""
    records = [Record("feasible", arch, {"val_accuracy": score}) for arch, score in evaluated]
    archive.append(Round(len(archive.rounds), note, tuple(records)))


class TestUntried:
    def test_a_draw_that_finds_nothing_new_is_replaced_by_samples(self, problem, archive):
        tell(archive, (cell("333333"), 90.0))
        found = rejection_sample(
            problem, archive, random.Random(0), [lambda rng: cell("333333")] * 3
        )
        assert len({*found, cell("333333")}) == 4

    def test_the_last_architecture_of_a_space_is_found(self, archive):
        *all_but_one, last = staircase(6).space.architectures()
        tell(archive, *((arch, 50.0) for arch in all_but_one))
        problem = staircase(6)
        assert rejection_sample(problem, archive, random.Random(0), [problem.sample] * 2) == [last]


class TestRegularizedEvolution:
    def test_the_oldest_die_however_good_they_are(self, problem, archive):
        tell(archive, (cell("333333"), 99.0))
        tell(archive, (cell("000000"), 50.0), (cell("444444"), 60.0))
        strategy = RegularizedEvolution(problem, 0, population=2, tournament=2, batch_size=20)
        children = [p.candidate for p in strategy.propose(archive).proposals]
        assert all(differences(child, cell("444444")) == 1 for child in children)

    def test_a_tournament_of_one_gives_every_living_architecture_its_chance(self, problem, archive):
        tell(archive, (cell("000000"), 50.0), (cell("444444"), 60.0))
        strategy = RegularizedEvolution(problem, 0, population=2, tournament=1, batch_size=20)
        children = [p.candidate for p in strategy.propose(archive).proposals]
        mothers = {cell("000000"): 0, cell("444444"): 0}
        for child in children:
            mothers[min(mothers, key=lambda m: differences(m, child))] += 1
        assert min(mothers.values()) > 0

    def test_a_tournament_larger_than_the_population_is_refused(self, problem):
        with pytest.raises(ValueError, match=r"tournament must be at most .*, 2, got 3"):
            RegularizedEvolution(problem, 0, population=2, tournament=3, batch_size=1)


class TestEvolution:
    def test_children_come_from_the_best_of_all_seen(self, problem, archive):
        tell(archive, (cell("333333"), 99.0), (cell("222222"), 98.0))
        tell(archive, *((cell(f"00{i}400"), 50.0 + i) for i in range(4)))
        strategy = Evolution(problem, 0, 6, parents=2, mutants=0, crossovers=8, mutation_rate=0.1)
        for proposal in strategy.propose(archive).proposals:
            assert set(proposal.candidate["op"]) == {"nor_conv_3x3", "nor_conv_1x1"}

    def test_rates_per_variable_are_kept(self, archive):
        tell(archive, (stairs(8, 8, 8), 60.0), (stairs(8, 8), 55.0))
        rates = {"depth": 0.0, "width": 1.0}
        strategy = Evolution(staircase(), 0, 2, 2, mutants=8, crossovers=0, mutation_rate=rates)
        depths = {p.candidate["depth"] for p in strategy.propose(archive).proposals}
        assert depths == {(3,), (2,)}

    def test_the_first_generation_is_completed_before_breeding(self, problem, archive):
        tell(archive, (cell("333333"), 90.0))
        strategy = Evolution(problem, 0, 10, 5, mutants=3, crossovers=2, mutation_rate=0.1)
        assert len(strategy.propose(archive).proposals) == 9

    def test_a_rate_for_two_variables_redraws_both_at_a_position(self):
        space, rng = MobileNet(width=1.0), random.Random(0)
        parent = space.build({"r": [224], "d": [4] * 5, "ks": [3] * 20, "e": [3] * 20})
        rates = {"r": 0.0, "d": 0.0, "ks+e": 0.5}
        children = [space.mutate(parent, rng, rates) for _ in range(400)]
        moved = [[(k != 3, e != 3) for k, e in zip(c["ks"], c["e"], strict=True)] for c in children]
        blocks = [block for child in moved for block in child]
        assert {(c["r"], c["d"]) for c in children} == {((224,), (4,) * 5)}
        # a block is drawn with 1/2, and then each of its genes changes with 2/3
        assert share(blocks, (True, True)) == pytest.approx(1 / 2 * 4 / 9, abs=0.02)
        assert share(blocks, (True, False)) == pytest.approx(1 / 2 * 2 / 9, abs=0.02)

    @pytest.mark.parametrize(
        ("rates", "message"),
        [
            ({"r": 0.1, "ks+e": 0.1}, "one rate for each of d, e, ks, r, got ks.e, r"),
            ({"r": 0.1, "d": 0.1, "ks": 0.2, "ks+e": 0.1}, "one rate for each of"),
            ({"r": 0.1, "d+ks": 0.1, "e": 0.1}, "d and ks differ in their numbers of genes"),
        ],
    )
    def test_rates_that_do_not_fit_the_space_are_refused(self, rates, message):
        space = MobileNet()
        with pytest.raises(ValueError, match=message):
            Evolution(Problem(space, ClosedForm(space)), 0, 4, 2, 3, 2, mutation_rate=rates)

    @pytest.mark.parametrize(
        ("name", "space", "settings"),
        [
            ("evolution_ofa", MobileNet(), (100, 25, 50, 50)),
            ("evolution_spos", ShuffleNet(), (50, 10, 25, 25)),
            ("evolution_autoformer", AutoFormer(), (50, 10, 25, 25)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_searches_of_the_supernet_papers_breed_in_their_spaces(
        self, name, space, settings, archive
    ):
        problem = Problem(space, ClosedForm(space), objective="val_accuracy")
        strategy = load("search", f"strategy={name}", "llm=scripted").strategy
        search = build(
            OmegaConf.create({"seed": 0, "strategy": strategy}).strategy, problem=problem
        )
        population, parents, mutants, crossovers = settings
        assert (search.population, search.parents) == (population, parents)
        first = search.propose(archive).proposals
        assert len(first) == population
        tell(archive, *((p.candidate, 50.0 + i) for i, p in enumerate(first)))
        assert len(search.propose(archive).proposals) == mutants + crossovers

    def test_settings_that_do_not_fit_are_all_named(self, problem):
        with pytest.raises(
            ValueError, match=r"parents must be between(.|\n)*each of op, got depth"
        ):
            Evolution(problem, 0, 4, 5, 3, 2, mutation_rate={"depth": 0.1})


class TestLocalSearch:
    def test_it_moves_to_the_first_better_neighbour(self, problem, archive):
        strategy = LocalSearch(problem, 0, batch_size=1)
        tell(archive, (cell("000000"), 50.0), note="start")
        tell(archive, (cell("000003"), 70.0), note="step")
        tell(archive, (cell("000004"), 60.0), note="step")
        (proposal,) = strategy.propose(archive).proposals
        assert differences(proposal.candidate, cell("000003")) == 1

    def test_what_came_before_the_last_start_is_left_behind(self, problem, archive):
        strategy = LocalSearch(problem, 0, batch_size=1)
        tell(archive, (cell("333333"), 99.0), note="start")
        tell(archive, (cell("000000"), 50.0), note="start")
        (proposal,) = strategy.propose(archive).proposals
        assert differences(proposal.candidate, cell("000000")) == 1

    def test_it_starts_anew_exactly_when_all_neighbours_are_known(self, problem, archive):
        run_search(problem, LocalSearch(problem, 1, 1), ToyWorld(), archive, Budget(300, 1000))
        starts = [r.index for r in archive.rounds if r.note == "start"]
        assert len(starts) > 2
        for start, end in pairwise(starts):
            climb = [r.records[0] for r in archive.rounds[start:end]]
            top = max(climb, key=archive.score)
            before = {r.arch for r in archive.records(end)}
            assert set(problem.space.neighbours(top.arch)) <= before

    def test_a_single_peak_is_climbed_without_a_second_start(self, archive):
        problem = staircase(6)
        budget = Budget(1000, 1000, target=50 + 6 * (4 + 0.1))
        run_search(problem, LocalSearch(problem, 0, 1), WiderIsBetter(), archive, budget)
        assert archive.best().arch == stairs(32, 32, 32, 32, 32, 32)
        assert [r.note for r in archive.rounds].count("start") == 1
        assert len(archive.evaluated()) < 100  # of 1,092


class TestReinforce:
    def test_the_policy_equals_one_that_autograd_and_torch_train(self, archive):
        torch = pytest.importorskip("torch")
        problem = staircase()
        strategy = Reinforce(problem, 0, learning_rate=0.01, baseline_decay=0.9, batch_size=1)
        initial = strategy.logits(archive)
        run_search(problem, strategy, WiderIsBetter(), archive, Budget(25, 1000))

        rows = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in initial]
        adam = torch.optim.Adam(rows, lr=0.01)
        numerator = denominator = 0.0
        for record in archive.evaluated():
            reward = archive.score(record)
            numerator = 0.9 * numerator + 0.1 * reward
            denominator = 0.9 * denominator + 0.1
            chosen = option_indices(problem.space.variables, record.arch)
            log_likelihood = sum(
                torch.log_softmax(row, 0)[i] for row, i in zip(rows, chosen, strict=True) if i >= 0
            )
            loss = -log_likelihood * (reward - numerator / denominator)
            for row in rows:
                row.grad = torch.zeros_like(row)  # else Adam leaves out what is inactive
            loss.backward()
            adam.step()
        trained = torch.stack(rows).detach().numpy()
        # Adam magnifies the rounding of the first advantage, which is zero
        assert np.allclose(strategy.logits(archive), trained, rtol=0, atol=1e-6)

    def test_the_initial_policy_is_nearly_uniform(self, problem, archive):
        logits = Reinforce(problem, 0, 0.01, 0.9, 1).logits(archive)
        assert logits.shape == (6, 5)
        assert 5e-4 < logits.std() < 2e-3

    def test_it_learns_what_is_good(self, archive):
        problem = staircase(8)
        strategy = Reinforce(problem, 0, learning_rate=0.1, baseline_decay=0.9, batch_size=1)
        run_search(problem, strategy, WiderIsBetter(), archive, Budget(200, 1000))
        logits = strategy.logits(archive)
        assert logits[0].argmax() >= 5  # deep
        assert (logits[1:4].argmax(axis=1)[:3] == 2).all()  # and wide


class TestGaussianProcess:
    def test_it_finds_the_optimum_of_a_separable_objective(self, problem, archive):
        strategy = GaussianProcess(problem, 0, initial=10, exploration=2.0, batch_size=5)
        run_search(problem, strategy, ToyWorld(), archive, Budget(60, 1000))
        assert set(archive.best().arch["op"]) == {"nor_conv_3x3"}

    def test_a_space_too_large_to_list_is_searched_around_the_best(self, archive):
        problem = staircase(10)
        strategy = GaussianProcess(problem, 0, initial=10, exploration=2.0, batch_size=5)
        run_search(problem, strategy, WiderIsBetter(), archive, Budget(45, 1000))
        begun = max(archive.score(r) for r in archive.evaluated()[:10])
        assert archive.score(archive.best()) > begun

    def test_only_the_order_of_the_scores_matters(self):
        scores = normal_scores([10.0, 93.9, 94.0, 94.0])
        assert scores[1] == pytest.approx(-0.31864, abs=1e-5)  # the 37.5% quantile
        assert scores[2] == scores[3]
        assert scores.tolist() == normal_scores([-1000.0, 1.0, 2.0, 2.0]).tolist()

    def test_each_active_gene_has_one_column_and_inactive_ones_none(self):
        features = one_hot(Staircase(2).variables, [stairs(32), stairs(8, 16)])
        assert features.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0, 1, 0]]


@pytest.mark.skipif(not TABLE.exists(), reason=f"{TABLE} is missing; COLLM_SHARED names its folder")
def test_the_strategies_rank_on_the_benchmark_as_published():
    from benchmarks.nb201_baselines import search

    def mean_regret(strategy: str) -> float:
        return sum(search(strategy, "cifar100", 100, seed).regret for seed in range(30)) / 30

    regrets = [mean_regret(s) for s in ("random", "regularized_evolution", "local_search")]
    assert regrets[0] > 1.5 > regrets[1] > 0.3 > regrets[2]
