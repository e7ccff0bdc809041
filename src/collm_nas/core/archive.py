"""The search history: an append-only file with one JSON line per finished round.

The archive is the only state of a search. Every strategy is a function of it, so a search
continues after a crash by running the same command again. It holds no times and no dates: two
searches that were given the same answers have the same archive, byte for byte.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from operator import le
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, NotRequired, overload

from typing_extensions import TypedDict

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import Journal
from collm_nas.core.problem import Metrics

if TYPE_CHECKING:
    from pandas import DataFrame

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


class Prefix(Sequence[Record]):
    """The first `count` of a list that only grows: made in no time, and never changed again."""

    def __init__(self, records: list[Record], count: int) -> None:
        self._records = records
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return islice(self._records, self._count)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self._records[i] for i in range(self._count)[place]]
        return self._records[range(self._count)[place]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


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

    What a strategy reads in every round is kept up to date, so that a round costs what it adds and
    not what came before. `open` or `read` one.

    Args:
        path: the file; it is read if it exists.
        objective: the metric that is maximised.
        writable: whether it may be extended.

    Raises:
        CorruptFile: a line of it is not the round that belongs there.
    """

    def __init__(self, path: Path, objective: str, writable: bool = True) -> None:
        self.path = path
        self.objective = objective
        self._journal: Journal[RoundLine] = Journal(path, RoundLine)
        self.torn = self._journal.torn  # a round that a crash cut is missing at the end
        self._writable = writable
        self.search: dict[str, Any] = {}  # which one it belongs to; empty: not said yet
        self._binding: dict[str, Any] = {}  # what the next line says of that
        self.rounds: list[Round] = []
        self._records: list[Record] = []
        self._evaluated: list[Record] = []
        self._feasible: list[Record] = []
        self._ranking: list[Record] = []  # the feasible ones, best first, of equals the oldest
        self._seen: dict[Architecture, None] = {}
        self._ends = [_End(0, 0, 0, None)]  # after so many rounds
        for line in self._journal.entries:
            self._add(line)

    @classmethod
    def open(cls, path: Path, objective: str) -> Archive:
        """Open an archive to extend it; it is begun if there is none. See the class."""
        return cls(path, objective, writable=True)

    @classmethod
    def read(cls, path: Path, objective: str) -> Archive:
        """Read an archive, which may belong to a running search; it cannot be extended.

        Raises:
            FileNotFoundError: there is none.
            CorruptFile: a line of it is not the round that belongs there.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no archive at {path}")
        return cls(path, objective, writable=False)

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

    @property
    def seen(self) -> Set[Architecture]:
        """All architectures that have a verdict; what was `skipped` may be proposed again."""
        return self._seen.keys()

    def records(self, rounds: int | None = None) -> Sequence[Record]:
        """List all candidates (of the first `rounds` rounds), oldest first."""
        return Prefix(self._records, self._end(rounds).records)

    def evaluated(self, rounds: int | None = None) -> Sequence[Record]:
        """List the records that were evaluated, feasible or not, oldest first."""
        return Prefix(self._evaluated, self._end(rounds).evaluated)

    def feasible(self, rounds: int | None = None) -> Sequence[Record]:
        """List the evaluated records within the limits, oldest first."""
        return Prefix(self._feasible, self._end(rounds).feasible)

    def best(self, rounds: int | None = None) -> Record | None:
        """Return the feasible record with the highest objective (the first of equals), if any."""
        return self._end(rounds).best

    def top(self, count: int) -> list[Record]:
        """List the `count` best feasible records, best first, of equals the oldest first."""
        return self._ranking[:count]

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

    def to_frame(self) -> DataFrame:
        """Return a table with a row for each candidate, oldest first.

        The columns are round, verdict, arch, each metric, reason, text and protocol.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("a table needs pandas: pip install 'collm-nas[notebook]'") from error
        return DataFrame(
            [
                {
                    "round": round_.index,
                    "verdict": record.verdict,
                    "arch": record.arch,
                    **record.metrics,
                    "reason": record.reason,
                    "text": record.text,
                    "protocol": record.protocol,
                }
                for round_ in self.rounds
                for record in round_.records
            ]
        )

    def _add(self, line: RoundLine) -> None:
        place = len(self.rounds)
        if line["index"] != place:
            self._journal.refuse(place, f"it is round {line['index']}, not {place}")
        self.search = self.search or line.get("search", {})
        round_ = Round(place, line["note"], tuple(map(_record, line["records"])))
        self.rounds.append(round_)
        evaluated = [r for r in round_.records if self.objective in r.metrics]
        feasible = [r for r in evaluated if r.verdict == "feasible"]
        self._records += round_.records
        self._evaluated += evaluated
        self._feasible += feasible
        for record in feasible:
            insort(self._ranking, record, key=lambda r: -self.score(r))
        self._seen |= dict.fromkeys(
            r.arch for r in round_.records if r.arch is not None and r.verdict != "skipped"
        )
        best = max(filter(None, [self.best(), *feasible]), key=self.score, default=None)
        counts = len(self._records), len(self._evaluated), len(self._feasible)
        self._ends.append(_End(*counts, best))

    def _end(self, rounds: int | None) -> _End:
        """Return how things stood after `rounds` rounds; now, if there are fewer."""
        return self._ends[-1 if rounds is None else min(rounds, len(self.rounds))]


class _End(NamedTuple):
    """How many records there are of each kind at the end of a round, and the best of them."""

    records: int
    evaluated: int
    feasible: int
    best: Record | None


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
