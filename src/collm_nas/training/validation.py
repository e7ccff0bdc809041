"""What a training is watched and chosen by: the accuracies of subnets that never change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as L
import torch
from torch import nn

from collm_nas.core.architecture import Architecture
from collm_nas.core.files import Journal, cut
from collm_nas.core.problem import EvaluationFailed
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.inherit import inherited_accuracy
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import Supernet
from collm_nas.training.module import SupernetTraining

Row = dict[str, float]  # "step", "mean" and an accuracy for each anchor


def open_rows(path: Path) -> Journal[Row]:
    """Open the results of a phase, a line for each time.

    Raises:
        CorruptFile: a line is none.
    """
    journal: Journal[Row] = Journal(path, Row)
    for index, row in enumerate(journal.entries):
        if missing := {"step", "mean"} - row.keys():
            journal.refuse(index, f"it lacks {', '.join(sorted(missing))}")
    return journal


@dataclass(frozen=True)
class Anchors:
    """Measures fixed subnets with inherited weights, as a search would.

    Args:
        archs: the subnets by name.
        images: of the protocol.
        doubt: says of accuracies in percent, of so many images, that guessing could have reached
            them; empty if not.
    """

    space: SearchSpace
    archs: Mapping[str, Architecture]
    images: ProtocolImages
    doubt: Callable[[Iterable[float], int], str]

    def accuracy(self, network: nn.Module, arch: Architecture) -> float:
        """Return the top-1 accuracy in percent; 0 if the network computes no finite numbers."""
        supernet, size = cast(Supernet, network), self.space.resolution(arch)
        try:
            found = inherited_accuracy(supernet, arch, size, self.images, torch.get_num_threads())
        except EvaluationFailed:
            return 0.0
        return found[self.images.protocol.objective]


class Validation(L.Callback):
    """Measures the anchors at intervals and at the end; keeps the weights of the best mean.

    Each process measures some of the anchors.

    Args:
        path: the results, a line for each time.
        every: steps.
        last: the number of steps of the phase.
        done: steps of earlier visits; later results than theirs are measured again.
        save: keeps the weights.
        keep_last: keep those of the last time instead.
    """

    def __init__(
        self,
        anchors: Anchors,
        path: Path,
        every: int,
        last: int,
        done: int,
        save: Callable[[nn.Module, int], None],
        keep_last: bool,
    ) -> None:
        self.anchors, self.path, self.save, self.keep_last = anchors, path, save, keep_last
        self.every, self.last = every, last
        self.rows = [row for row in open_rows(path).entries if row["step"] <= done]

    @property
    def best(self) -> float | None:
        """Return the best mean so far."""
        return max((row["mean"] for row in self.rows), default=None)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget what was measured after the step where the training goes on."""
        if trainer.is_global_zero and self.path.exists():
            cut(self.path, len(self.rows))

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measure if it is time to."""
        done = outputs["step"] + 1
        if done % self.every and done != self.last:
            return
        assert isinstance(pl_module, SupernetTraining)
        accuracies = self._measure(trainer, pl_module)
        row: Row = {"step": done, "mean": sum(accuracies.values()) / len(accuracies), **accuracies}
        better = self.best is None or row["mean"] > self.best
        self.rows.append(row)
        if trainer.is_global_zero:
            if better or self.keep_last:
                self.save(pl_module.network, done)
            open_rows(self.path).append(row)
            metrics = {f"val/{name}": value for name, value in row.items() if name != "step"}
            for logger in trainer.loggers:
                logger.log_metrics(metrics, done)
                logger.save()
            if doubt := self.anchors.doubt(accuracies.values(), self.anchors.images.ranked_by):
                print(f"  step {done:,}: {doubt}", file=sys.stderr, flush=True)

    def _measure(self, trainer: L.Trainer, module: SupernetTraining) -> dict[str, float]:
        network, names = module.network, list(self.anchors.archs)
        training = network.training
        network.eval()
        accuracies = torch.zeros(len(names), dtype=torch.float64, device=module.device)
        for i in range(trainer.global_rank, len(names), trainer.world_size):
            accuracies[i] = self.anchors.accuracy(network, self.anchors.archs[names[i]])
        network.train(training)
        total = trainer.strategy.reduce(accuracies, reduce_op="sum")
        return dict(zip(names, total.tolist(), strict=True))
