"""SPOS's space against the published network, and its exact sampling against enumeration."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare

from collm_nas.core.architecture import InvalidArchitecture, NothingFeasible
from collm_nas.core.problem import Limit, Problem
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.spaces.shufflenet.published import PUBLISHED
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.testing.conformance import SearchSpaceConformance
from tests.conftest import problems_of

MILLION = 1e6
TINY = {"repeats": [1, 1, 1], "channels": [4, 8, 16, 32, 16], "num_classes": 3, "resolution": 32}


@pytest.fixture(scope="module")
def space() -> ShuffleNet:
    return ShuffleNet()


@pytest.fixture(scope="module")
def costs(golden: Path) -> Any:
    return json.loads((golden / "costs.json").read_text())["spos"]


class TestTiny(SearchSpaceConformance):
    space = ShuffleNet(**TINY)


# -- what the published network costs -----------------------------------------------------------


def test_cost_of_every_choice_is_that_of_the_original(space: ShuffleNet, costs: Any) -> None:
    for metric in ("macs", "params"):
        additive = space.additive[metric]
        assert additive.base == costs["base"][metric]
        assert [list(row) for row in additive.table] == costs[f"block_{metric}"]


def test_golden_architectures_cost_what_the_original_counts(space: ShuffleNet, costs: Any) -> None:
    assert len(costs["archs"]) >= 6
    for known in costs["archs"].values():
        arch = space.decode({"ops": known["arch"]})
        assert space.costs(arch) == {"macs": known["macs"], "params": known["params"]}


def test_published_architectures(space: ShuffleNet) -> None:
    spos, collm = space.published_within().values()
    assert space.key(spos) == "21012020202300003233"
    assert space.costs(spos) == {"macs": 322_918_720, "params": 3_558_464}
    assert space.costs(collm) == {"macs": 324_957_120, "params": 3_747_728}


def test_size(space: ShuffleNet) -> None:
    assert space.size() == 4**20 == 1_099_511_627_776


# -- sampling under limits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        (290, 860_908_886),
        (300, 12_813_969_298),
        (310, 83_619_955_926),
        (320, 298_026_002_555),
        (330, 647_824_128_008),
        (340, 946_417_435_498),
        (350, 1_072_330_317_415),
        (360, 1_097_247_129_529),
    ],
)
def test_exact_number_of_architectures_within_a_limit(
    space: ShuffleNet, limit: float, count: int
) -> None:
    assert space.count_within("macs", None, limit * MILLION) == count
    assert space.count_within("macs", limit * MILLION, None) == space.size() - count


def test_bounds_are_inclusive(space: ShuffleNet) -> None:
    cheapest = space.additive["macs"].smallest
    assert cheapest == 270_359_360
    assert space.additive["macs"].largest == 398_609_216
    assert space.count_within("macs", None, cheapest) == 1
    assert space.count_within("macs", None, cheapest - 1) == 0
    assert space.count_within("macs", cheapest, cheapest) == 1
    arch = space.sample_within(random.Random(0), [("macs", None, cheapest)])
    assert space.key(arch) == "30003000300000003000"


@pytest.mark.parametrize("metric", ["macs", "params"])
def test_sampling_within_a_limit_is_uniform(metric: str) -> None:
    space = ShuffleNet(**TINY)
    archs = [space.decode(list(ops)) for ops in itertools.product(range(4), repeat=3)]
    cost = {arch: space.costs(arch)[metric] for arch in archs}
    low, high = sorted(cost.values())[10], sorted(cost.values())[40]
    allowed = [arch for arch in archs if low <= cost[arch] <= high]
    assert space.count_within(metric, low, high) == len(allowed) >= 30
    rng = random.Random(0)
    drawn = Counter(
        space.sample_within(rng, [(metric, low, high)]) for _ in range(100 * len(allowed))
    )
    assert {*drawn} == {*allowed}
    assert chisquare([drawn[arch] for arch in allowed]).pvalue > 0.01


def test_several_limits_hold_at_once(space: ShuffleNet) -> None:
    rng = random.Random(0)
    for _ in range(20):
        arch = space.sample_within(
            rng, [("macs", 290 * MILLION, 300 * MILLION), ("params", None, 3.3 * MILLION)]
        )
        assert 290 * MILLION <= space.costs(arch)["macs"] <= 300 * MILLION
        assert space.costs(arch)["params"] <= 3.3 * MILLION


def test_limit_that_nothing_meets_names_the_smallest_cost(space: ShuffleNet) -> None:
    with pytest.raises(ValueError, match=r"macs at most 200,000,000: the smallest has 270,359,360"):
        space.sample_within(random.Random(0), [("macs", None, 200 * MILLION)])


def test_limits_that_exclude_each_other_end_in_a_message(space: ShuffleNet) -> None:
    limits = [("macs", None, 275 * MILLION), ("params", 3.8 * MILLION, None)]
    with pytest.raises(NothingFeasible, match=r"params from 3,\d.*\(config key: limits\)"):
        space.sample_within(random.Random(0), limits)


def test_problem_samples_exactly_what_one_draw_in_a_thousand_meets(space: ShuffleNet) -> None:
    class Counted(ClosedForm):
        asked = 0

        def costs(self, arch: Any) -> Any:
            Counted.asked += 1
            return super().costs(arch)

    problem = Problem(space, Counted(space), (Limit("macs", maximum=290 * MILLION),))
    rng = random.Random(0)
    assert all(problem.is_feasible(problem.sample(rng)) for _ in range(100))
    assert Counted.asked <= 2 * 100 + 1  # by rejection: about 128,000


def test_problem_respects_limits_on_costs_that_only_the_hardware_knows(space: ShuffleNet) -> None:
    class Latency:
        def costs(self, arch: Any) -> Any:
            return {**space.costs(arch), "latency_ms": float(arch["ops"].count(3))}

    limits = (Limit("macs", maximum=300 * MILLION), Limit("latency_ms", minimum=2, maximum=4))
    problem, rng = Problem(space, Latency(), limits), random.Random(0)
    assert all(problem.is_feasible(problem.sample(rng)) for _ in range(20))


# -- reading and writing ------------------------------------------------------------------------


def test_bare_list_is_accepted(space: ShuffleNet) -> None:
    ops = PUBLISHED["spos_readme"].written["ops"]
    assert space.decode(ops) == space.decode({"ops": ops})


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({"ops": [0] * 19}, ["ops must have 20 values, got 19"]),
        ([0] * 21, ["ops must have 20 values, got 21"]),
        (
            [4, -1, *[0] * 18],
            [
                "ops[0] must be one of [0, 1, 2, 3], got 4",
                "ops[1] must be one of [0, 1, 2, 3], got -1",
            ],
        ),
        (
            ["3", True, 2.0, None, *[0] * 16],
            [
                "ops[0] must be one of [0, 1, 2, 3], got '3'",
                "ops[1] must be one of [0, 1, 2, 3], got True",
                "ops[2] must be one of [0, 1, 2, 3], got 2.0",
                "ops[3] must be one of [0, 1, 2, 3], got None",
            ],
        ),
        ({"ops": "0" * 20}, [f"ops must be a list of 20 values, got '{'0' * 20}'"]),
        ({"op": [0] * 20}, ["ops is missing", "'op' is not a key of this space"]),
    ],
)
def test_every_problem_is_told_with_its_place(
    space: ShuffleNet, answer: Any, problems: list[str]
) -> None:
    with pytest.raises(InvalidArchitecture) as error:
        space.decode(answer)
    assert [*error.value.problems] == problems


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"repeats": [4, 4, 8, 0]}, "repeats[3] must be at least 1, got 0"),
        ({"repeats": []}, "repeats must be a list of at least 1, got []"),
        ({"channels": [16, "64"]}, "channels[1] must be a whole number, got '64'"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"resolution": -224}, "resolution must be at least 1, got -224"),
    ],
)
def test_settings_that_make_no_network(arguments: dict[str, Any], told: str) -> None:
    assert told in problems_of(ShuffleNet, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repeats": [4, 4]}, "searchspace.channels must name the stem, 2 stages"),
        ({"channels": [16, 64, 64, 320, 640, 1024]}, "must be even and grow by stage"),
        ({"channels": [16, 63, 160, 320, 640, 1024]}, "must be even and grow by stage"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShuffleNet(**arguments)
