"""Weights & Biases: curves per round, a table of all candidates, strategies and costs.

The run's id lies in the run directory, so that a resumed search goes on in the same W&B run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from collm_nas.archive import Archive
from collm_nas.logger.base import Snapshot
from collm_nas.problem import costs_of
from collm_nas.ranges import Text

COLUMNS: list[str | int] = [
    "round",
    "verdict",
    "architecture",
    "objective",
    "costs",
    "reason",
    "strategy",
]


class WandbLogger:
    """Logs to one W&B run per run directory."""

    def __init__(
        self,
        run_dir: Path,
        rounds: int,
        config: Mapping[str, Any],
        project: Text,
        entity: Text | None,
        group: Text,
        job_type: Text,
        tags: Sequence[Text],
    ) -> None:
        import wandb

        id_file = run_dir / "wandb_id"
        if not id_file.exists():
            id_file.write_text(uuid4().hex[:8])
        self.table = wandb.Table
        self.run = wandb.init(
            project=project,
            entity=entity,
            group=group,
            job_type=job_type,
            tags=list(tags),
            name=run_dir.name,
            id=id_file.read_text(),
            resume="allow",
            dir=run_dir,
            config=dict(config),
        )
        self.run.define_metric("*", step_metric="round")

    def log_round(self, snapshot: Snapshot) -> None:
        """See `SearchLogger`."""
        self.run.log({k: v for k, v in vars(snapshot).items() if v is not None})

    def finish(self, archive: Archive) -> None:
        """Log all candidates as a table, and the best as the run's summary."""
        table = self.table(columns=COLUMNS)
        for round_ in archive.rounds:
            for record in round_.records:
                costs = costs_of(record.metrics, archive.objective)
                table.add_data(
                    round_.index,
                    record.verdict,
                    str(record.arch or record.text),
                    record.metrics.get(archive.objective),
                    json.dumps(costs),
                    record.reason,
                    round_.note,
                )
        self.run.log({"candidates": table})
        if best := archive.best():
            self.run.summary.update({"best": archive.score(best), "architecture": str(best.arch)})
        self.run.finish()
