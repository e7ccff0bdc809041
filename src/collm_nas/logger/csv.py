"""One CSV line per round, `rounds.csv`: what a spreadsheet or pandas opens."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from collm_nas.core.archive import Archive
from collm_nas.core.files import write_atomically
from collm_nas.core.printable import spreadsheet_cell
from collm_nas.logger.base import Snapshot


class CSVLogger:
    """Writes `rounds.csv` anew from what the run holds, then a line after each round."""

    def __init__(self, run_dir: Path, past: Sequence[Snapshot], config: Mapping[str, Any]) -> None:
        self.path = run_dir / "rounds.csv"
        header = ",".join(f.name for f in fields(Snapshot)) + "\n"
        write_atomically(self.path, header + "".join(map(_row, past)))

    def log_round(self, snapshot: Snapshot) -> None:
        """See `SearchLogger`."""
        with self.path.open("ab", buffering=0) as file:  # one write: a kill tears no line
            file.write(_row(snapshot).encode())

    def finish(self, archive: Archive) -> None:
        """Nothing is left to do."""


def _row(snapshot: Snapshot) -> str:
    cells = [spreadsheet_cell(x) if isinstance(x, str) else x for x in asdict(snapshot).values()]
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
