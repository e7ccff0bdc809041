"""Limits: what cannot be met says what the space has, and a miss is told with its exact overrun."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Limit, Metrics, Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import Batch, Proposal
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.strategy.collm import CoLLM
from tests.conftest import FixedChat, ToyWorld, load, options

HEAVY = Architecture.of({"op": ["nor_conv_3x3"] * 6})
EMPTY = Architecture.of({"op": ["none"] * 6})


class Watt:
    """Measures, as far as the search can know: the space has no such cost."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.asked = 0

    def costs(self, arch: Architecture) -> Metrics:
        self.asked += 1
        return {**self.space.costs(arch), "watt": 10.0 + list(arch["op"]).count("skip_connect")}


@pytest.mark.parametrize("name", options("searchspace"))
def test_the_exact_range_holds_every_sample_and_is_told_without_a_draw(name: str) -> None:
    space: SearchSpace = build(load("search", f"searchspace={name}", "llm=scripted").searchspace)
    rng = random.Random(0)
    samples = [space.costs(space.sample(rng)) for _ in range(300)]
    for metric in samples[0]:
        ends = space.cost_range(metric)
        assert ends is not None
        least, most = ends
        assert all(least <= costs[metric] <= most for costs in samples)
        for bounds in ((metric, None, least - 1), (metric, most + 1, None)):
            told = rf"{least:,.12g} and the largest {most:,.12g} \(exact\).*limits\.{metric}"
            with pytest.raises(NothingFeasible, match=told):
                space.sample_within(rng, [bounds])
    assert space.cost_range("latency_ms") is None


def test_the_ends_of_the_range_are_reached(space: NASBench201) -> None:
    assert space.cost_range("macs") == (space.costs(EMPTY)["macs"], space.costs(HEAVY)["macs"])


def test_all_impossible_limits_are_told_at_once(space: NASBench201) -> None:
    with pytest.raises(NothingFeasible, match=r"limits\.macs\)\n.*limits\.params\)"):
        space.sample_within(random.Random(0), [("macs", None, 1), ("params", None, 1)])


def test_of_measured_costs_the_range_seen_is_told(space: NASBench201) -> None:
    problem = Problem(space, Watt(space), (Limit("watt", maximum=5.0),))
    with pytest.raises(NothingFeasible, match=r"not exact\) were watt from 10 to 1[56]\. Widen"):
        problem.sample(random.Random(0))


def test_what_misses_a_closed_form_limit_is_not_measured(space: NASBench201) -> None:
    watt = Watt(space)
    problem = Problem(space, watt, (Limit("watt", maximum=20.0), Limit("macs", maximum=100e6)))
    assert problem.is_feasible(EMPTY)
    before = watt.asked
    assert not problem.is_feasible(HEAVY)
    assert watt.asked == before


def test_the_navigator_is_told_every_overrun(space: NASBench201, tmp_path: Path) -> None:
    """Two limits missed, one over and one under; the exact amounts reach the next prompt."""
    limits = (Limit("macs", maximum=120e6), Limit("watt", minimum=12.0), Limit("params", 0.0, 1e5))
    problem = Problem(space, Watt(space), limits)
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    run_search(problem, Once(), ToyWorld(), archive, Budget(2, 1))
    chat = FixedChat(lambda purpose: "guidance")
    CoLLM(problem, 0, chat, chat, 2).propose(archive)
    feedback = chat.calls[0][1][-1].content.splitlines()
    first = next(json.loads(line) for line in feedback if "nor_conv_3x3~2" in line)
    costs = space.costs(HEAVY)
    assert first["limit missed"] == (
        f"macs is {costs['macs'] / 1e6:.6g}M, over the maximum of 120M by "
        f"{(costs['macs'] - 120e6) / 1e6:.6g}M ({(costs['macs'] / 120e6 - 1) * 100:.1f}%); "
        "watt is 10, under the minimum of 12 by 2 (16.7%); "
        f"params is {costs['params'] / 1e6:.6g}M, over the maximum of 0.1M by "
        f"{(costs['params'] - 1e5) / 1e6:.6g}M ({(costs['params'] / 1e5 - 1) * 100:.1f}%)"
    )


class Once:
    def propose(self, archive: Archive) -> Batch:
        return Batch([Proposal(HEAVY), Proposal(EMPTY)], "memo")
