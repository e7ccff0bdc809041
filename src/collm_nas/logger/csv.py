"""One CSV line per round, `rounds.csv`: what a spreadsheet or pandas opens."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from collm_nas.archive import Archive
from collm_nas.logger.base import Snapshot


class CSVLogger:
    """Appends to `rounds.csv`, minus what a killed process left there beyond the archive."""

    def __init__(self, run_dir: Path, rounds: int, config: Mapping[str, Any]) -> None:
        self.path = run_dir / "rounds.csv"
        kept = self.path.read_text().splitlines(keepends=True)[: rounds + 1] if rounds else []
        header = ",".join(f.name for f in fields(Snapshot)) + "\n"
        self.path.write_text("".join(kept) or header)

    def log_round(self, snapshot: Snapshot) -> None:
        """See `SearchLogger`."""
        row = asdict(snapshot)
        row["strategy"] = " ".join(snapshot.strategy.split())
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row.values())

    def finish(self, archive: Archive) -> None:
        """Nothing is left to do."""
