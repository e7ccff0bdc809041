"""The search history: an append-only file with one JSON line per finished round.

The archive is the only state of a search. Every strategy is a function of it, so a search
continues after a crash by running the same command again. It holds no times and no dates: two
searches that were given the same answers have the same archive, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import le
from pathlib import Path
from typing import Any, Literal, NoReturn, NotRequired

from typing_extensions import TypedDict

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import Journal
from collm_nas.core.problem import Metrics

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


class RecordLine(TypedDict):
    """A `Record` in the file."""

    verdict: Verdict
    arch: dict[str, list[Value]] | None
    metrics: NotRequired[dict[str, float]]
    reason: NotRequired[str]
    text: NotRequired[str]
    protocol: NotRequired[str]


class RoundLine(TypedDict):
    """A `Round` in the file.

    `search` says which search it belongs to. It stands in the first line; in archives that are
    older than it, in the first one that was added since.
    """

    index: int
    note: str
    records: list[RecordLine]
    search: NotRequired[dict[str, Any]]


class OtherSearch(ValueError):
    """An archive belongs to another search than the one that is to extend it."""

    def __init__(self, path: Path, changed: Mapping[str, tuple[object, object]]) -> None:
        lines = [f"  {name}: {then!r}, now {now!r}" for name, (then, now) in changed.items()]
        super().__init__(
            "\n".join(
                [
                    f"{path} belongs to a search with other settings:",
                    *lines,
                    "Continue it with what it began with, or give this search a file of its own "
                    "(of a command: run_dir=…).",
                ]
            )
        )


class Archive:
    """All finished rounds, in memory and on disk.

    Args:
        path: the file; it is read if it exists.
        objective: the metric that is maximised.

    Raises:
        CorruptFile: a line of it is not the round that belongs there.
    """

    def __init__(self, path: Path, objective: str) -> None:
        self.path = path
        self.objective = objective
        self._journal: Journal[RoundLine] = Journal(path, RoundLine)
        self.torn = self._journal.torn  # a round that a crash cut is missing at the end
        self._writable = True
        self.search: dict[str, Any] = {}  # which one it belongs to; empty: not said yet
        self._binding: dict[str, Any] = {}  # what the next line says of that
        self.rounds: list[Round] = []
        for line in self._journal.entries:
            self._add(line)

    @classmethod
    def read(cls, path: Path, objective: str) -> Archive:
        """Read an archive that may belong to a running search; it cannot be extended.

        Raises:
            FileNotFoundError: there is none.
            CorruptFile: a line of it is not the round that belongs there.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no archive at {path}")
        archive = cls(path, objective)
        archive._writable = False
        return archive

    def bind(self, search: Mapping[str, Any]) -> None:
        """Say which search extends the archive; its next line keeps that, if none did before.

        Args:
            search: what its results depend on, as JSON; see `identity`. What only one of two
                versions of this program knows is not compared.

        Raises:
            OtherSearch: the archive belongs to another one.
        """
        both = {name: (then, search[name]) for name, then in self.search.items() if name in search}
        if changed := {name: pair for name, pair in both.items() if pair[0] != pair[1]}:
            raise OtherSearch(self.path, changed)
        self._binding = {} if self.search else dict(search)

    def append(self, round_: Round) -> None:
        """Add a finished round, on disk first.

        Raises:
            OSError: it cannot be written.
            ValueError: it is not the next round, a number in it is not finite, or the archive was
                opened to be read.
        """
        if not self._writable:
            raise ValueError(f"{self.path} was opened to be read, not to be extended")
        if round_.index != len(self.rounds):
            raise ValueError(f"round {round_.index} cannot follow {len(self.rounds)} rounds")
        line = _line(round_)
        if self._binding:
            line["search"] = self._binding
        self._add(self._journal.append(line))
        self._binding = {}

    def check(self, measured: Mapping[Architecture, Metrics], source: Path) -> list[Record]:
        """See that the records hold what was measured; return those that `measured` lacks.

        Args:
            source: the file that `measured` comes from.

        Raises:
            CorruptFile: a record holds other numbers.
        """
        lacking = []
        for round_ in self.rounds:
            for record in (r for r in round_.records if self.objective in r.metrics):
                known = measured.get(record.arch) if record.arch else None
                if known is None:
                    lacking.append(record)
                elif wrong := [n for n, x in known.items() if record.metrics.get(n) != x]:
                    told = ", ".join(f"{n}={record.metrics.get(n)}, not {known[n]}" for n in wrong)
                    problem = f"{record.arch} has {told} as in {source.name}"
                    self._journal.refuse(round_.index, problem)
        return lacking

    def refuse(self, index: int, problem: str) -> NoReturn:
        """Say what is wrong with round `index`; see `Journal.refuse`."""
        self._journal.refuse(index, problem)

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

    def _add(self, line: RoundLine) -> None:
        place = len(self.rounds)
        if line["index"] != place:
            self._journal.refuse(place, f"it is round {line['index']}, not {place}")
        self.search = self.search or line.get("search", {})
        self.rounds.append(Round(place, line["note"], tuple(map(_record, line["records"]))))


def _line(round_: Round) -> RoundLine:
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


def _record(line: RecordLine) -> Record:
    fields: dict[str, Any] = {**line}
    arch = Architecture.of(line["arch"]) if line["arch"] else None
    return Record(**{**fields, "arch": arch})
