"""Weights & Biases: curves per round, a table of all candidates, strategies and costs.

The run's id lies in the run directory, so that a resumed search goes on in the same W&B run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from collm_nas.config.run import UserError
from collm_nas.core.archive import Archive
from collm_nas.core.files import write_atomically
from collm_nas.core.printable import printable, spreadsheet_cell
from collm_nas.core.problem import costs_of
from collm_nas.core.ranges import Text
from collm_nas.logger.base import Snapshot

ID = re.compile("[0-9a-f]{8}")
OFFLINE = ("offline", "disabled", "dryrun")  # values of WANDB_MODE
REMEDY = (
    "Log in (wandb login), or log without a network (WANDB_MODE=offline), or to a file alone "
    "(logger=csv)."
)

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
    """Logs to one W&B run per run directory; a step is a round, whichever visit logs it.

    Raises:
        UserError: W&B refuses or cannot be reached.
    """

    def __init__(
        self,
        run_dir: Path,
        past: Sequence[Snapshot],
        config: Mapping[str, Any],
        project: Text,
        entity: Text | None,
        group: Text,
        job_type: Text,
        tags: Sequence[Text],
    ) -> None:
        import wandb

        id_file = run_dir / "wandb_id"
        if not (id_file.exists() and ID.fullmatch(id_file.read_text(errors="replace"))):
            write_atomically(id_file, uuid4().hex[:8])
        self.table = wandb.Table
        self.rounds = len(past)
        try:
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
        except wandb.Error as error:
            why = printable(str(error).strip().partition("\n")[0]).rstrip(".")
            raise UserError(f"logger=wandb: {why}. {REMEDY}") from error
        self.run.define_metric("*", step_metric="round")

    @staticmethod
    def require_login() -> None:
        """See whether W&B knows who reports, without asking it.

        Raises:
            UserError: it does not.
        """
        import wandb

        if os.environ.get("WANDB_MODE", "online") not in OFFLINE and not wandb.login(
            prompt=False, verify=False
        ):
            raise UserError(f"logger=wandb: there is no login. {REMEDY}")

    def log_round(self, snapshot: Snapshot) -> None:
        """See `SearchLogger`."""
        values = {k: v for k, v in vars(snapshot).items() if v is not None}
        values["strategy"] = printable(snapshot.strategy)
        self.run.log(values, step=snapshot.round)
        self.rounds = snapshot.round + 1

    def finish(self, archive: Archive) -> None:
        """Log all candidates as a table, and the best as the run's summary."""
        table = self.table(columns=COLUMNS)
        for round_ in archive.rounds:
            for record in round_.records:
                costs = costs_of(record.metrics, archive.objective)
                table.add_data(
                    round_.index,
                    record.verdict,
                    spreadsheet_cell(str(record.arch or record.text)),
                    record.metrics.get(archive.objective),
                    json.dumps(costs),
                    spreadsheet_cell(record.reason),
                    spreadsheet_cell(round_.note),
                )
        self.run.log({"candidates": table}, step=max(0, self.rounds - 1))
        if best := archive.best():
            self.run.summary.update({"best": archive.score(best), "architecture": str(best.arch)})
        self.run.finish()
