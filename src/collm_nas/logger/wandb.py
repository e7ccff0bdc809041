"""Weights & Biases: curves of a search or a training, and a table of all candidates.

Its package is used directly, as Lightning's logger would make every search import torch, and would
log the phases of a training into one W&B run. The run's id lies in the run directory, so that what
continues goes on in the same W&B run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from uuid import uuid4

from collm_nas.config.run import UserError
from collm_nas.core.archive import Archive
from collm_nas.core.files import write_atomically
from collm_nas.core.printable import printable, spreadsheet_cell
from collm_nas.core.problem import costs_of
from collm_nas.core.ranges import Text
from collm_nas.logger.base import LoggedRun, Metrics

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
    """Logs to one W&B run per search, or phase of a training, whichever visit logs it.

    Raises:
        UserError: W&B refuses or cannot be reached.
    """

    def __init__(
        self,
        run: LoggedRun,
        project: Text,
        entity: Text | None,
        group: Text,
        job_type: Text,
        tags: Sequence[Text],
    ) -> None:
        import wandb

        id_file = run.directory / "_".join(filter(None, ["wandb_id", run.phase]))
        if not (id_file.exists() and ID.fullmatch(id_file.read_text(errors="replace"))):
            write_atomically(id_file, uuid4().hex[:8])
        self.axis, self.last_step = run.axis, run.last_step
        self.table = wandb.Table
        try:
            self.run = wandb.init(
                project=project,
                entity=entity,
                group=group,
                job_type="train" if run.phase else job_type,
                tags=list(tags),
                name="/".join(filter(None, [run.directory.name, run.phase])),
                id=id_file.read_text(),
                resume="allow",
                dir=run.directory,
                config=dict(run.config),
            )
        except wandb.Error as error:
            why = printable(str(error).strip().partition("\n")[0]).rstrip(".")
            raise UserError(f"logger=wandb: {why}. {REMEDY}") from error
        self.run.define_metric("*", step_metric=self.axis)

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

    def log(self, metrics: Metrics, step: int) -> None:
        """See `Logger`; W&B leaves out steps that an earlier visit logged."""
        known = {k: x for k, x in metrics.items() if x is not None}
        values = {k: printable(x) if isinstance(x, str) else x for k, x in known.items()}
        self.run.log({self.axis: step, **values}, step=step)
        self.last_step = step

    def log_archive(self, archive: Archive) -> None:
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
        self.run.log({"candidates": table}, step=max(0, self.last_step))
        if best := archive.best():
            self.run.summary.update({"best": archive.score(best), "architecture": str(best.arch)})

    def finish(self) -> None:
        self.run.finish()
