"""The loop: every verdict, the exact budget, and why a search ends."""

from pathlib import Path

import pytest

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import EvaluationFailed, Limit, parse_limits
from collm_nas.core.search import Budget, run_search, screen
from collm_nas.core.strategy import Batch, Proposal
from collm_nas.strategy.random import RandomSearch
from tests.conftest import ToyWorld, problems_of


def cell(*digits: int) -> Architecture:
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    return Architecture.of({"op": [names[d] for d in digits]})


LIGHT, HEAVY = cell(1, 1, 1, 1, 1, 1), cell(3, 3, 3, 3, 3, 3)


class Fixed:
    """Proposes the same batch in every round."""

    def __init__(self, *candidates: Architecture | InvalidArchitecture) -> None:
        self.batch = Batch([Proposal(c) for c in candidates], note="memo")

    def propose(self, archive: Archive) -> Batch:
        return self.batch


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(tmp_path / "archive.jsonl", "val_accuracy")


def test_one_candidate_of_each_kind(limited, archive):
    wrong = InvalidArchitecture(["edge 0->1 must be one of …", "edge 1->2 must be one of …"])
    proposals = [Proposal(c) for c in (LIGHT, HEAVY, LIGHT, wrong, cell(1, 1, 1, 1, 1, 2))]
    records = screen(proposals, limited, archive, "feedback", evaluations_left=2)
    assert [r.verdict for r in records] == [
        "feasible", "infeasible", "duplicate", "invalid", "skipped"
    ]  # fmt: skip
    assert records[1].reason == ("macs is 220.12M, over the maximum of 120M by 100.12M (83.4%)")
    assert records[3].reason == "edge 0->1 must be one of …; edge 1->2 must be one of …"


def test_over_the_limits_is_evaluated_and_told_but_cannot_win(limited, archive):
    world = ToyWorld()
    run_search(limited, Fixed(HEAVY, LIGHT), world, archive, Budget(2, 9))
    assert world.asked == [HEAVY, LIGHT]
    assert archive.best().arch == LIGHT


def test_prefilter_does_not_evaluate_what_is_over_the_limits(limited, archive):
    world = ToyWorld()
    budget = Budget(2, 9, idle_rounds=2)
    run_search(limited, Fixed(HEAVY, LIGHT), world, archive, budget, constraint_mode="prefilter")
    assert world.asked == [LIGHT]
    assert archive.rounds[0].records[0].verdict == "infeasible"


def test_exactly_the_budget_is_evaluated(problem, archive):
    world = ToyWorld()
    reason = run_search(problem, RandomSearch(problem, 0, 7), world, archive, Budget(10, 99))
    assert len(world.asked) == len(set(world.asked)) == 10
    assert reason == "the budget of 10 evaluations is spent"
    assert [r.verdict for r in archive.rounds[1].records].count("skipped") == 4


def test_a_higher_budget_continues_and_may_propose_what_was_skipped(problem, archive):
    run_search(problem, Fixed(LIGHT, HEAVY), ToyWorld(), archive, Budget(1, 9))
    world = ToyWorld()
    run_search(problem, Fixed(LIGHT, HEAVY), world, archive, Budget(2, 9))
    assert world.asked == [HEAVY]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(100, 3), "the limit of 3 rounds is reached"),
        (Budget(100, 99, target=60.0), "the target of 60.0 val_accuracy is reached"),
        (Budget(100, 99, idle_rounds=4), "no new architecture in the last 4 rounds"),
    ],
)
def test_a_search_says_why_it_ends(problem, archive, budget, reason):
    assert reason in run_search(problem, Fixed(LIGHT), ToyWorld(), archive, budget)


def test_an_impossible_budget_is_refused_with_all_its_problems():
    told = problems_of(Budget, evaluations=0, rounds=-1)
    assert told.splitlines() == [
        "evaluations must be at least 1, got 0",
        "rounds must be at least 1, got -1",
    ]


def test_a_failed_evaluation_is_recorded_and_never_wins(problem, archive):
    class Broken(ToyWorld):
        def evaluate(self, arch):
            if arch == HEAVY:
                raise EvaluationFailed("the worker died")
            return super().evaluate(arch)

    run_search(problem, Fixed(HEAVY, LIGHT), Broken(), archive, Budget(5, 1))
    assert [r.verdict for r in archive.rounds[0].records] == ["failed", "feasible"]
    assert archive.rounds[0].records[0].reason == "the worker died"
    assert archive.best().arch == LIGHT


def test_candidates_of_a_round_are_evaluated_in_parallel_and_recorded_in_order(problem, tmp_path):
    archives = []
    for workers in (1, 4):
        archive = Archive.open(tmp_path / f"{workers}.jsonl", "val_accuracy")
        run_search(
            problem, RandomSearch(problem, 0, 8), ToyWorld(), archive, Budget(24, 9), workers
        )
        archives.append(archive.path.read_bytes())
    assert archives[0] == archives[1]


def test_an_archive_reads_back_what_was_written(tmp_path):
    path = tmp_path / "archive.jsonl"
    records = (
        Record("feasible", LIGHT, {"val_accuracy": 1.5, "macs": 3}, text="é {"),
        Record("invalid", None, reason="why", text="\ud800 broken"),
    )
    Archive.open(path, "val_accuracy").append(Round(0, "note\nof two lines", records))
    again = Archive.open(path, "val_accuracy")
    assert again.rounds[0].records[0] == records[0]
    assert again.rounds[0].note == "note\nof two lines"


def test_a_line_torn_by_a_crash_is_forgotten(tmp_path):
    path = tmp_path / "archive.jsonl"
    path.write_text('{"index": 0, "note": "", "records": []}\n{"index": 1, "no')
    assert [r.index for r in Archive.open(path, "val_accuracy").rounds] == [0]
    Archive.open(path, "val_accuracy").append(Round(1, "", ()))
    assert [r.index for r in Archive.open(path, "val_accuracy").rounds] == [0, 1]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "archive.jsonl"
    path.write_text('{"index": 0, "note": "", "records": []}\nnonsense\n{}\n')
    with pytest.raises(ValueError, match=r"archive.jsonl, line 2 is damaged"):
        Archive.open(path, "val_accuracy")


def test_limits_are_read_as_maximum_or_band():
    metrics = {"macs": 1.0, "params": 1.0}
    assert parse_limits({"macs": 330e6, "params": [1, None]}, metrics) == (
        Limit("macs", None, 330e6),
        Limit("params", 1.0, None),
    )


def test_all_wrong_limits_are_named_at_once():
    with pytest.raises(
        ValueError, match=r"limits.latency: not a cost.*\n.*macs.*minimum 5.0 is over"
    ):
        parse_limits({"latency": 3, "macs": [5, 4]}, {"macs": 1.0})
    with pytest.raises(ValueError, match="expected a maximum"):
        parse_limits({"macs": "small"}, {"macs": 1.0})
