"""The report on a supernet: how subnets of all costs rank, compared with training them alone."""

from __future__ import annotations

import json
import math
import random

import pytest

from collm_nas.cli.evaluate import command
from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
from collm_nas.cli.evaluate.supernet_report import spread, supernet_report
from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed, Metrics
from collm_nas.report.rank_correlation import agreement
from tests.evaluation.conftest import asked
from tests.evaluator.conftest import SPACES, space_of


class KnownAlone:
    """Stands for networks trained on their own; it breaks after some of them."""

    objective = "val_accuracy"
    protocol = "known"

    def __init__(self, lasts: int = 1000) -> None:
        self.lasts = lasts
        self.asked: list[Architecture] = []

    def evaluate(self, arch: Architecture) -> Metrics:
        if len(self.asked) == self.lasts:
            raise EvaluationFailed("power cut")
        self.asked.append(arch)
        return {self.objective: sum(map(ord, str(arch))) % 90}


@pytest.mark.parametrize("name", SPACES)
def test_subnets_reach_from_the_cheapest_to_the_dearest_at_even_steps(name):
    space = space_of(name)
    chosen = spread(space, 15, seed=0)
    macs = [space.costs(arch)["macs"] for arch in chosen]
    assert len({*chosen}) == 15
    assert chosen == spread(space, 15, seed=0)
    rng = random.Random(5)
    drawn = [space.costs(space.sample(rng))["macs"] for _ in range(500)]
    assert min(macs) <= min(drawn)
    assert max(macs) >= max(drawn)
    step = (max(macs) - min(macs)) / 14
    even = [min(macs) + step * i for i in range(15)]
    assert sum(abs(m - e) < step / 2 for m, e in zip(macs, even, strict=True)) >= 10


def test_agreement_of_equal_opposite_and_unrelated_rankings():
    ranks = list(range(20))
    same = agreement(ranks, ranks)
    assert (same.tau, same.tau_low, same.spearman) == pytest.approx((1, 1, 1))
    assert (same.top, same.top_overlap) == (7, 7)
    assert agreement(ranks, ranks[::-1]).tau == -1
    shuffled = random.Random(0).sample(ranks, 20)
    unrelated = agreement(ranks, shuffled)
    assert unrelated.tau_low < unrelated.tau < unrelated.tau_high
    assert unrelated.tau_high - unrelated.tau_low > 0.3, "twenty subnets tell little"
    with pytest.raises(ValueError, match="three subnets"):
        agreement([1, 2], [1, 2])


def test_tau_is_that_of_counted_pairs():
    a, b = [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]
    assert agreement(a, b).tau == pytest.approx((5 - 1) / 6)


def test_ties_everywhere_are_no_agreement_and_no_crash():
    found = agreement([5.0] * 4, [1.0, 2.0, 3.0, 4.0])
    assert all(map(math.isnan, (found.tau, found.spearman, found.tau_low)))


def test_the_report_goes_on_where_it_broke(supernet, tmp_path):
    cfg = asked(supernet, tmp_path, "evaluator.changes.images=50")
    evaluator = build_subnet_evaluator(cfg, space_of("shufflenet_tiny"))
    with pytest.raises(EvaluationFailed):
        supernet_report(evaluator, KnownAlone(lasts=2), 4, [], 0, tmp_path)
    second = KnownAlone()
    report = supernet_report(evaluator, second, 4, [50, 100, 5000], 0, tmp_path)
    assert len(second.asked) == 2, "the first two are on disk"
    assert report.agreement is not None
    stored = json.loads((tmp_path / "supernet_report.json").read_text())
    assert len(stored["architectures"]) == len(stored["alone"]) == 4
    assert [c["images"] for c in stored["calibration"]] == [50, 100, 1000]
    assert stored["calibration"][-1]["tau"] in (1, pytest.approx(1))
    assert (tmp_path / "supernet_report.png").read_bytes().startswith(b"\x89PNG")


def test_without_trained_networks_the_rest_is_reported(supernet, tmp_path, capsys):
    few = ["report.subnets=3", "report.calibration_images=[50]", "evaluator.changes.images=50"]
    command.run(asked(supernet, tmp_path, "mode=supernet_report", *few))
    told = capsys.readouterr().out
    assert "not measured (key: stand_alone)" in told
    assert "NEAR CHANCE" in told, "they are random"
    assert "These 3 of 3 cannot be told apart" in told
    stored = json.loads((tmp_path / "supernet_report.json").read_text())
    assert stored["images"] == 50
    for (low, high), accuracy in zip(stored["intervals"], stored["inherited"], strict=True):
        assert low <= accuracy <= high
