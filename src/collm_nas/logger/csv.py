"""One CSV line per step: what a spreadsheet or pandas opens."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from collm_nas.core.files import write_atomically
from collm_nas.core.printable import spreadsheet_cell
from collm_nas.logger.base import LoggedRun, Metrics


class CSVLogger:
    """Writes `rounds.csv` of a search, and `steps.csv` of each phase of a training.

    A run that continues has no line twice: those of rounds are written anew from the archive, of
    steps those that happen again are cut. Lightning's own logger would delete the earlier visits'.
    """

    def __init__(self, run: LoggedRun) -> None:
        self.axis, self.path = run.axis, run.folder / f"{run.axis}s.csv"
        self.columns: list[str] = []
        if run.past is None:
            self._rewrite(self._read(run.last_step))
        else:
            self._rewrite([self._row(metrics, step) for step, metrics in enumerate(run.past)])

    def log(self, metrics: Metrics, step: int) -> None:
        row = self._row(metrics, step)
        if {*row} - {*self.columns}:
            self._rewrite([*self._read(step), row])
            return
        with self.path.open("ab", buffering=0) as file:  # one write: a kill tears no line
            file.write(_lines([[row.get(column) for column in self.columns]]))

    def finish(self) -> None:
        """Nothing is left to do."""

    def _row(self, metrics: Metrics, step: int) -> dict[str, Any]:
        cells = {k: spreadsheet_cell(x) if isinstance(x, str) else x for k, x in metrics.items()}
        return {self.axis: step, **cells}

    def _read(self, last_step: int) -> list[Mapping[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = [*csv.DictReader(file)]
        steps = [str(row.get(self.axis)) for row in rows]
        return [r for r, n in zip(rows, steps, strict=True) if n.isdigit() and int(n) <= last_step]

    def _rewrite(self, rows: list[Mapping[str, Any]]) -> None:
        self.columns = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[row.get(column) for column in self.columns] for row in rows]
        if rows or self.path.exists():
            write_atomically(self.path, _lines([self.columns, *cells] if rows else []))


def _lines(rows: list[list[Any]]) -> bytes:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue().encode()
