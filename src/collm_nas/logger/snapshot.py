"""A search after a round, in numbers: what loggers and the progress line show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from collm_nas.core.archive import Archive, Round
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

    def metrics(self) -> dict[str, Any]:
        """Return all but the number of the round, for loggers."""
        return {name: value for name, value in asdict(self).items() if name != "round"}

    @classmethod
    def before(cls, protocol: str) -> Snapshot:
        """Return the snapshot before the first round."""
        return cls(-1, 0, None, 0, 0, 0, 0, 0, 0.0, protocol, "")

    def after(self, round_: Round, objective: str, totals: Totals) -> Snapshot:
        """Return the snapshot after the next round; `totals` are of all calls until its end."""
        verdicts = [r.verdict for r in round_.records]
        feasible = [r.metrics[objective] for r in round_.records if r.verdict == "feasible"]
        known = [] if self.best is None else [self.best]
        return Snapshot(
            round=round_.index,
            evaluations=self.evaluations + sum(objective in r.metrics for r in round_.records),
            best=max([*known, *feasible], default=None),
            duplicates=self.duplicates + verdicts.count("duplicate"),
            invalid=self.invalid + verdicts.count("invalid"),
            infeasible=self.infeasible + verdicts.count("infeasible"),
            llm_calls=totals.calls,
            tokens=totals.tokens,
            usd=totals.usd,
            protocol=self.protocol,
            strategy=round_.note,
        )


def snapshots(archive: Archive, totals: Callable[[int], Totals], protocol: str) -> list[Snapshot]:
    """Return a snapshot after each round of `archive`, preceded by the one before the first.

    Args:
        totals: what the calls of the first so many rounds have cost.
    """
    found = [Snapshot.before(protocol)]
    for round_ in archive.rounds:
        found.append(found[-1].after(round_, archive.objective, totals(round_.index + 1)))
    return found
