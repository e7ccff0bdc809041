"""What an archive keeps up to date is what a look at all its records finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record, Round, Verdict

VERDICTS: tuple[Verdict, ...] = (
    "feasible", "infeasible", "duplicate", "invalid", "skipped", "failed"
)  # fmt: skip


def arch(number: int) -> Architecture:
    return Architecture.of({"number": [number]})


def any_record(rng: random.Random) -> Record:
    verdict = rng.choice(VERDICTS)
    metrics = {"macs": float(rng.randrange(9))}
    if verdict in ("feasible", "infeasible"):
        metrics["val_accuracy"] = float(rng.randrange(5))  # with ties
    return Record(verdict, None if verdict == "invalid" else arch(rng.randrange(40)), metrics)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(tmp_path / "archive.jsonl", "val_accuracy")


def check(archive: Archive) -> None:
    """Compare with what all records say, after every round."""
    for rounds in (*range(len(archive.rounds) + 3), None):
        records = [r for round_ in archive.rounds[:rounds] for r in round_.records]
        evaluated = [r for r in records if "val_accuracy" in r.metrics]
        feasible = [r for r in evaluated if r.verdict == "feasible"]
        assert list(archive.records(rounds)) == records
        assert list(archive.evaluated(rounds)) == evaluated
        assert list(archive.feasible(rounds)) == feasible
        assert archive.best(rounds) == max(feasible, key=archive.score, default=None)
    assert archive.seen == {r.arch for r in records if r.arch and r.verdict != "skipped"}
    for count in (0, 1, 5, 1000):
        assert archive.top(count) == sorted(feasible, key=archive.score, reverse=True)[:count]


@pytest.mark.parametrize("seed", range(5))
def test_everything_is_up_to_date_after_every_round(seed, archive):
    rng = random.Random(seed)
    check(archive)
    for index in range(12):
        records = tuple(any_record(rng) for _ in range(rng.randrange(8)))
        archive.append(Round(index, "", records))
        check(archive)
    again = Archive.read(archive.path, "val_accuracy")
    check(again)
    assert again.records() == archive.records()


def test_skipped_architectures_may_be_proposed_again_and_no_others(archive):
    archs = [arch(i) for i in range(5)]
    records = [Record(v, a) for v, a in zip([*VERDICTS[:3], *VERDICTS[4:]], archs, strict=True)]
    archive.append(Round(0, "", (*records, Record("invalid", None))))
    assert archive.seen == set(archs) - {archs[3]}


def test_what_was_read_stays_as_it_was_while_the_archive_grows(archive):
    archive.append(Round(0, "", (Record("feasible", arch(1), {"val_accuracy": 1.0}),)))
    before = archive.feasible()
    archive.append(Round(1, "", (Record("feasible", arch(2), {"val_accuracy": 2.0}),)))
    assert [r.arch for r in before] == [arch(1)]
    assert before[0] == before[-1]
    assert before[-5:] == [before[0]]
    assert before == [before[0]]
    assert before != archive.feasible()
    with pytest.raises(IndexError):
        before[1]
    assert archive.top(1) is not archive.top(1)
