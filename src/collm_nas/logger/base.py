"""What a logger of a search is: it is told of every round, and of the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from collm_nas.archive import Archive
from collm_nas.llm.ledger import Totals


@dataclass(frozen=True)
class Snapshot:
    """A search after a round, in numbers."""

    round: int
    evaluations: int
    best: float | None  # objective of the best feasible architecture
    duplicates: int
    invalid: int
    infeasible: int
    llm_calls: int
    tokens: int
    usd: float
    protocol: str  # how candidates are evaluated
    strategy: str  # the strategy's memo of the round

    @classmethod
    def of(cls, archive: Archive, totals: Totals, protocol: str) -> Snapshot:
        """Count what the archive and the ledger hold."""
        best = archive.best()
        verdicts = [r.verdict for r in archive.records()]
        return cls(
            round=len(archive.rounds) - 1,
            evaluations=len(archive.evaluated()),
            best=archive.score(best) if best else None,
            duplicates=verdicts.count("duplicate"),
            invalid=verdicts.count("invalid"),
            infeasible=verdicts.count("infeasible"),
            llm_calls=totals.calls,
            tokens=totals.input + totals.output,
            usd=totals.usd,
            protocol=protocol,
            strategy=archive.rounds[-1].note if archive.rounds else "",
        )


class SearchLogger(Protocol):
    """Sends a search somewhere. A resumed search logs on where it stopped."""

    def log_round(self, snapshot: Snapshot) -> None:
        """Log a round that is finished."""

    def finish(self, archive: Archive) -> None:
        """Log the whole archive of a finished search and close."""
