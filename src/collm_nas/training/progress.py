"""What a training tells while it runs: metrics for loggers, one line for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from collm_nas.training.module import SupernetTraining

SECONDS_BETWEEN_LINES = 15.0


class Watching(L.Callback):
    """Logs loss, learning rate, images per second and the drawn subnets; shows the progress.

    Args:
        title: what is trained.
        steps: of the phase.
        every: steps between two entries.
        best: returns the best validation so far.
    """

    def __init__(
        self, title: str, steps: int, every: int, best: Callable[[], float | None]
    ) -> None:
        self.title, self.steps, self.every, self.best = title, steps, every, best
        self.losses: list[torch.Tensor] = []
        self.since = self.last_line = time.monotonic()
        self.rate = 0.0
        self.bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock and the bar."""
        assert isinstance(pl_module, SupernetTraining)
        self.since = time.monotonic()
        if not trainer.is_global_zero:
            return
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,}/{task.total:,} {task.fields[told]}"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            done = pl_module.first_step
            self.bar.add_task(self.title, total=self.steps, completed=done, told="")
        else:
            print(f"{self.title}: {self.steps:,} steps", file=sys.stderr, flush=True)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log every so many steps."""
        assert isinstance(pl_module, SupernetTraining)
        self.losses.append(outputs["losses"].mean())
        done = outputs["step"] + 1
        if done % self.every and done != self.steps:
            return
        seconds = time.monotonic() - self.since
        self.rate = len(self.losses) * pl_module.recipe.batch_size / seconds
        loss = torch.stack(self.losses).mean().item()
        self.losses, self.since = [], time.monotonic()
        if trainer.is_global_zero:
            space, subnets = pl_module.space, outputs["subnets"]
            metrics: dict[str, Any] = {
                "loss": loss,
                "lr": outputs["lr"],
                "images_per_s": self.rate,
                "subnets_macs": sum(space.costs(a)["macs"] for a in subnets) / len(subnets),
            }
            for logger in trainer.loggers:
                logger.log_metrics(metrics, done)
                logger.save()
            self._show(done, loss, pl_module.recipe.batch_size)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Stop the bar."""
        if self.bar:
            self.bar.stop()

    def _show(self, done: int, loss: float, batch_size: int) -> None:
        best = self.best()
        told = f"loss {loss:.3f}, {self.rate:,.0f} images/s"
        told += "" if best is None else f", best mean of anchors {best:.2f}%"
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=done, told=told)
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES or done == self.steps:
            self.last_line = time.monotonic()
            left = (self.steps - done) * batch_size / self.rate
            print(
                f"  {done:,}/{self.steps:,} {told}, {left:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )
