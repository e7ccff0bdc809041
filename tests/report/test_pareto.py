"""Searching a trade-off: the front, its hypervolume, what is told, and a search from end to end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.config.run import UserError
from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import Problem, parse_reference
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import dialect_of
from collm_nas.report import pareto
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.strategy.nsga2 import NSGA2
from tests.conftest import search_config

COSTS = {"macs": 1.0, "params": 1.0}


@pytest.fixture
def traded(space: NASBench201) -> Problem:
    reference = {"val_accuracy": 50.0, "macs": 100.0}
    return Problem(space, ClosedForm(space), reference=reference)


@pytest.fixture
def archive_of(tmp_path: Path, space: NASBench201) -> Callable[..., Archive]:
    """Return a function from (accuracy, macs) pairs, a round each, to their archive."""
    archs = space.architectures()

    def make(*rounds: list[tuple[float, float]], verdict: str = "feasible") -> Archive:
        archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
        for points in rounds:
            records = tuple(
                Record(verdict, next(archs), {"val_accuracy": a, "macs": m})  # type: ignore[arg-type]
                for a, m in points
            )
            archive.append(Round(len(archive.rounds), "", records))
        return archive

    return make


def numbers(records: list[Record]) -> list[tuple[float, float]]:
    return [(r.metrics["val_accuracy"], r.metrics["macs"]) for r in records]


def test_the_front_is_what_none_beats(archive_of) -> None:
    archive = archive_of([(90, 50), (80, 60), (80, 20)], [(95, 90), (90, 50), (80, 21), (60, 10)])
    assert numbers(archive.front(["macs"])) == [(95, 90), (90, 50), (80, 20), (60, 10)]
    assert numbers(archive.front(["macs"], rounds=1)) == [(90, 50), (80, 20)]
    assert archive.front(["macs"])[1] == archive.rounds[0].records[0], "the first of equals"
    assert numbers(archive.front([])) == [(95, 90)], "without costs it is the best alone"


def test_the_front_is_that_of_all_pairs(archive_of) -> None:
    rng = random.Random(0)
    points = [(rng.randint(0, 30), rng.randint(0, 30)) for _ in range(200)]
    beaten = {p for p in points for q in points if q != p and q[0] >= p[0] and q[1] <= p[1]}
    front = numbers(archive_of(points).front(["macs"]))
    assert sorted(front) == sorted({*points} - beaten)


def test_what_misses_a_limit_is_not_on_the_front(archive_of) -> None:
    assert archive_of([(90, 50)], verdict="infeasible").front(["macs"]) == []


def test_the_hypervolume_is_a_share_of_the_box(archive_of, traded) -> None:
    """Reference 50% at 100: (75%, 50) covers half of each side; so does what adds (100%, 75)."""
    one = archive_of([(75, 50)]).front(["macs"])
    assert pareto.hypervolume(one, traded) == pytest.approx(0.25)
    two = archive_of([(100, 75)]).front(["macs"])
    assert pareto.hypervolume(two, traded) == pytest.approx(0.25 + 0.25 - 0.125)
    assert pareto.hypervolume([], traded) == 0
    useless = archive_of([(49, 1), (100.0, 101.0)]).records()
    assert pareto.hypervolume(list(useless)[-2:], traded) == 0


def test_the_navigator_is_told_the_trade_off_and_the_front(archive_of, traded) -> None:
    archive = archive_of([(90, 50), (80, 60), (80, 20)])
    best = texts.best(archive, traded, dialect_of(traded.space), 1)
    front = {"best": best, "costs": traded.minimised}
    text = texts.render("paper/navigator_feedback", results=[], examples=[], **front)
    told = text.partition("Best so far: ")[2].partition("\n\n")[0].splitlines()
    assert told[0] == "none of these is beaten in everything:"
    assert [json.loads(line)["accuracy"] for line in told[1:]] == [90, 80]
    mission = texts.mission(traded, dialect_of(traded.space), target=94.0)
    assert "trade-off: the highest validation accuracy at every level of macs" in mission


def test_a_single_objective_is_told_as_ever(archive_of, problem) -> None:
    archive = archive_of([(90, 50), (80, 20)])
    assert (
        json.loads(texts.best(archive, problem, dialect_of(problem.space), 1)[0])["accuracy"] == 90
    )
    assert texts.mission(problem, dialect_of(problem.space)).startswith(
        "Find the architecture with the highest validation"
    )


def test_survivors_are_the_front_and_then_the_least_crowded(archive_of, traded) -> None:
    archive = archive_of([(90, 50), (89, 60), (88, 70)], [(95, 90), (80, 20), (94.9, 89.9)])
    alive = NSGA2(traded, 0, 4, 0.9, 0.1).survivors(archive)
    assert {s.rank for s in alive} == {0}
    assert sorted(numbers([s.record for s in alive])) == [
        (80, 20),
        (90, 50),
        (94.9, 89.9),
        (95, 90),
    ]
    three = NSGA2(traded, 0, 3, 0.9, 0.1).survivors(archive)
    assert (94.9, 89.9) not in numbers([s.record for s in three]), "its place is the most crowded"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"latency": 3}, r"pareto\.latency: neither val_accuracy nor a cost; there are macs, par"),
        ({"macs": "few"}, r"pareto\.macs: expected the worst useful value, got 'few'"),
        ({"macs": 0}, r"pareto\.macs: expected the worst useful value, got 0"),
        ({"macs": 1, "val_accuracy": 100}, r"pareto\.val_accuracy: expected percent from 0"),
        ({"val_accuracy": 80}, "pareto names no cost to minimise; there are macs, params"),
    ],
)
def test_a_wrong_reference_point_is_refused(reference, message) -> None:
    with pytest.raises(ValueError, match=message):
        parse_reference(reference, COSTS, "val_accuracy")


def test_a_reference_point_has_the_objective_first() -> None:
    assert parse_reference(None, COSTS, "val_accuracy") == {}
    found = parse_reference({"params": 3, "macs": 2.5}, COSTS, "val_accuracy")
    assert list(found.items()) == [("val_accuracy", 0), ("params", 3), ("macs", 2.5)]


TRADE = "pareto={val_accuracy: 80, macs: 220e6}"


@pytest.mark.parametrize("strategy", ["nsga2", "collm", "random", "local_search"])
def test_every_strategy_ends_with_a_front(strategy, tmp_path, capsys) -> None:
    config = search_config("budget.evaluations=45", "report=full", TRADE, strategy=strategy)
    result = session.run(config, tmp_path / "run")
    archive = Archive.open(tmp_path / "run" / "archive.jsonl", "val_accuracy")
    shown = [Architecture.of(point["architecture"]) for point in result["front"]]
    assert shown == [r.arch for r in archive.front(["macs"])]
    assert 0 < result["hypervolume"] < 1
    assert result["reference"] == {"val_accuracy": 80, "macs": 220e6}
    assert (tmp_path / "run/front.png").exists()
    assert f"{result['hypervolume']:.4f} of the box" in capsys.readouterr().out


def test_a_single_objective_leaves_no_trace_of_a_front(tmp_path) -> None:
    result = session.run(search_config("budget.evaluations=20", "report=full"), tmp_path / "run")
    assert not {"front", "hypervolume", "reference"} & {*result}
    assert not (tmp_path / "run/front.png").exists()


def test_the_trade_off_of_a_run_may_not_change(tmp_path) -> None:
    small = "budget.evaluations=20"
    session.run(search_config(small, strategy="random"), tmp_path / "run")
    with pytest.raises(UserError, match=r"pareto\.macs: \(not set\) -> 2"):
        session.run(search_config(small, TRADE, strategy="random"), tmp_path / "run")


def test_the_settings_of_a_run_from_before_trade_offs_still_fit(tmp_path) -> None:
    session.run(search_config("budget.evaluations=20", strategy="random"), tmp_path / "run")
    config = tmp_path / "run/config.yaml"
    config.write_text(config.read_text().replace("pareto: null\n", ""))
    session.run(search_config("budget.evaluations=25", strategy="random"), tmp_path / "run")
