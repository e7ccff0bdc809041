"""`last.ckpt`: where a training continues after a crash, a kill or Ctrl-C.

It holds the weights, the state of the optimiser and the number of steps that are done. All else is
a function of the seed and the step. Losing it costs time and nothing more.
"""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor

from collm_nas.core.files import write_atomically

SIGNALS = (signal.SIGINT, signal.SIGTERM)


ADVICE = (
    "The last checkpoint is from before. Lower the phase's lr, set recipe.clip_norm, or train in "
    "single precision (trainer.precision=32-true), in a new run_dir"
)


class Diverged(ValueError):
    """The loss or the weights are no numbers any more; the message says since when."""


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the content of a checkpoint; `None` if there is none yet.

    Raises:
        ValueError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content["step"], int):
            raise TypeError("its step is no number")
        return content
    except Exception as error:  # torch.load raises anything for a file that it did not write
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ValueError:
    """Say that a checkpoint cannot be used, and what to do."""
    return ValueError(
        f"{path} is damaged: delete it to repeat the phase. {type(error).__name__}: {error}"
    )


class Checkpoints(L.Callback):
    """Writes the checkpoint at intervals, and when the process is told to end.

    Args:
        path: the file.
        restored: its content, if the training continues.
        every_steps: write it after so many steps.
        every_seconds: and after so many seconds.
        last: the number of steps of the phase; it is written after them, too.
    """

    def __init__(
        self,
        path: Path,
        restored: dict[str, Any] | None,
        every_steps: int,
        every_seconds: float,
        last: int,
    ) -> None:
        self.path, self.restored = path, restored
        self.every_steps, self.every_seconds, self.last = every_steps, every_seconds, last
        self.stopped = False
        self._told_to_end = False
        self._written = time.monotonic()
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go back to where the checkpoint was written; listen to signals from here on."""
        if self.restored is not None:
            try:
                pl_module.load_state_dict(self.restored["module"])
                trainer.optimizers[0].load_state_dict(self.restored["optimizer"])
                trainer.precision_plugin.load_state_dict(self.restored["precision"])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise damaged(self.path, error) from error
            self.restored = None
        self._handlers = {s: signal.signal(s, self._end) for s in SIGNALS}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write if it is time to; end the training if the process was told to end."""
        seconds = time.monotonic() - self._written
        wishes = torch.tensor(
            [self._told_to_end, seconds >= self.every_seconds],
            dtype=torch.float32,
            device=pl_module.device,
        )
        told_to_end, late = trainer.strategy.reduce(wishes, reduce_op="sum").tolist()
        done = outputs["step"] + 1
        if told_to_end or late or done % self.every_steps == 0 or done == self.last:
            self._write(trainer, pl_module, done)
        if told_to_end:
            self.stopped = trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True
        signal.signal(number, self._handlers[number])  # a second one ends at once

    def _write(self, trainer: L.Trainer, module: L.LightningModule, done: int) -> None:
        self._written = time.monotonic()
        if not trainer.is_global_zero:
            return
        refuse_broken_weights(module.state_dict(), done)
        content = {
            "step": done,
            "module": module.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "precision": trainer.precision_plugin.state_dict(),
        }
        buffer = io.BytesIO()  # written to a file, torch would hide that the disk is full
        torch.save(content, buffer)
        write_atomically(self.path, buffer.getbuffer())


def refuse_broken_weights(state: dict[str, Tensor], done: int) -> None:
    """Check weights before they replace good ones.

    Raises:
        Diverged: one of them is not a finite number.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise Diverged(f"after step {done:,} the weights {name} are not finite. {ADVICE}")
