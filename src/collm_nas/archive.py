"""The search history: an append-only file with one JSON line per finished round.

The archive is the only state of a search. Every strategy is a function of it, so a search
continues after a crash by running the same command again. It holds no times and no dates: two
searches that were given the same answers have the same archive, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import le
from pathlib import Path
from typing import Any, Literal

from collm_nas.architecture import Architecture
from collm_nas.jsonl import append_jsonl, read_jsonl
from collm_nas.problem import Metrics

Verdict = Literal["feasible", "infeasible", "duplicate", "invalid", "skipped", "failed"]


@dataclass(frozen=True)
class Record:
    """What became of one proposed candidate.

    `feasible`: evaluated, and may win. `infeasible`: misses a limit; evaluated in feedback mode.
    `duplicate`: was proposed before. `invalid`: not a point of the space. `skipped`: the budget
    was spent before its turn. `failed`: its evaluation failed, twice.
    """

    verdict: Verdict
    arch: Architecture | None  # None only if the verdict is "invalid"
    metrics: Metrics = field(default_factory=dict)
    reason: str = ""  # why it is not feasible, in words an LLM can act on
    text: str = ""  # what the LLM wrote
    protocol: str = ""  # how it was evaluated, if it was


@dataclass(frozen=True)
class Round:
    """One exchange between a strategy and the evaluator."""

    index: int
    note: str  # the strategy's own memo, e.g. the Navigator's guidance
    records: tuple[Record, ...]


class Archive:
    """All finished rounds, in memory and on disk.

    Args:
        path: the file; it is read if it exists.
        objective: the metric that is maximised.
    """

    def __init__(self, path: Path, objective: str) -> None:
        self.path = path
        self.objective = objective
        self.rounds: list[Round] = [_round_from_json(obj) for obj in read_jsonl(path)]

    def append(self, round_: Round) -> None:
        """Add a finished round, on disk first."""
        append_jsonl(self.path, _round_to_json(round_))
        self.rounds.append(round_)

    def records(self, rounds: int | None = None) -> Iterator[Record]:
        """Iterate over all candidates (of the first `rounds` rounds), oldest first."""
        for round_ in self.rounds[:rounds]:
            yield from round_.records

    def evaluated(self, rounds: int | None = None) -> list[Record]:
        """List the records that were evaluated, feasible or not, oldest first."""
        return [r for r in self.records(rounds) if self.objective in r.metrics]

    def feasible(self, rounds: int | None = None) -> list[Record]:
        """List the evaluated records within the limits, oldest first."""
        return [r for r in self.evaluated(rounds) if r.verdict == "feasible"]

    def best(self, rounds: int | None = None) -> Record | None:
        """Return the feasible record with the highest objective (the first of equals), if any."""
        return max(self.feasible(rounds), key=self.score, default=None)

    def front(self, minimised: Sequence[str], rounds: int | None = None) -> list[Record]:
        """List the feasible records that none beats, highest objective first.

        A record is beaten by one with at least its objective and at most its `minimised` costs; of
        records with the same numbers the first counts.
        """
        found: list[Record] = []
        costs = {id(r): [r.metrics[m] for m in minimised] for r in self.feasible(rounds)}
        for record in sorted(self.feasible(rounds), key=lambda r: (-self.score(r), costs[id(r)])):
            mine = costs[id(record)]
            if not any(all(map(le, costs[id(other)], mine)) for other in found):
                found.append(record)
        return found

    def score(self, record: Record) -> float:
        """Return the objective of an evaluated record."""
        return record.metrics[self.objective]


def _round_to_json(round_: Round) -> dict[str, Any]:
    return {
        "index": round_.index,
        "note": round_.note,
        "records": [
            {
                "verdict": r.verdict,
                "arch": r.arch.to_json() if r.arch else None,
                "metrics": dict(r.metrics),
                "reason": r.reason,
                "text": r.text,
                "protocol": r.protocol,
            }
            for r in round_.records
        ],
    }


def _round_from_json(obj: dict[str, Any]) -> Round:
    records = tuple(
        Record(**{**r, "arch": Architecture.of(r["arch"]) if r["arch"] else None})
        for r in obj["records"]
    )
    return Round(obj["index"], obj["note"], records)
