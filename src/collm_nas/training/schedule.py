"""Learning rates as functions of the step: nothing to save, and a run continues at any step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import NotNegative


@dataclass(frozen=True)
class Horizon:
    """How long a phase trains and how fast.

    Args:
        steps: of the whole phase, warm-up included.
        warmup: the first of them.
        steps_per_epoch: how many make an epoch.
        lr: the peak.
        unscaled_lr: the peak before it was scaled to the batch size.
    """

    steps: int
    warmup: int
    steps_per_epoch: int
    lr: float
    unscaled_lr: float


class Schedule(Protocol):
    """Says how fast to learn."""

    def lr(self, step: int, horizon: Horizon) -> float:
        """Return the learning rate of a step; `step` counts from the start of the phase."""


@checked
@dataclass(frozen=True)
class Cosine:
    """A linear warm-up, then half a cosine from the peak to `floor`, set anew for every step.

    Args:
        floor: where the cosine would end one step after the last.
        warmup_from: where the warm-up starts; `null`: at the peak before it was scaled to the
            batch size (Goyal et al., 2017, https://arxiv.org/abs/1706.02677).
    """

    floor: NotNegative = 0.0
    warmup_from: NotNegative | None = 0.0

    def lr(self, step: int, horizon: Horizon) -> float:
        if step < horizon.warmup:
            return _warm_up(step, horizon, self.warmup_from)
        done = (step - horizon.warmup) / (horizon.steps - horizon.warmup)
        return _cosine(done, horizon.lr, self.floor)


@checked
@dataclass(frozen=True)
class Linear:
    """A linear warm-up, then a straight line from the peak to zero, set anew for every step."""

    warmup_from: NotNegative | None = 0.0

    def lr(self, step: int, horizon: Horizon) -> float:
        if step < horizon.warmup:
            return _warm_up(step, horizon, self.warmup_from)
        done = (step - horizon.warmup) / (horizon.steps - horizon.warmup)
        return horizon.lr * (1 - done)


@checked
@dataclass(frozen=True)
class EpochCosine:
    """AutoFormer's schedule: one rate for an epoch; the warm-up hides the start of the cosine.

    Args:
        floor: where the cosine would end one epoch after the last.
        warmup_from: the rate of the first epoch.
        late: keep a quirk of https://github.com/microsoft/Cream, where an epoch is trained at the
            rate of the one before it.
    """

    floor: NotNegative = 1e-5
    warmup_from: NotNegative = 1e-6
    late: bool = True

    def lr(self, step: int, horizon: Horizon) -> float:
        epoch = step // horizon.steps_per_epoch
        if self.late:
            epoch = max(0, epoch - 1)
        epochs, warmup = (n / horizon.steps_per_epoch for n in (horizon.steps, horizon.warmup))
        if epoch < warmup:
            return self.warmup_from + epoch / warmup * (horizon.lr - self.warmup_from)
        return _cosine(epoch / epochs, horizon.lr, self.floor)


def _warm_up(step: int, horizon: Horizon, start: float | None) -> float:
    start = horizon.unscaled_lr if start is None else start
    return start + (step + 1) / horizon.warmup * (horizon.lr - start)


def _cosine(done: float, peak: float, floor: float) -> float:
    return floor + (peak - floor) * (1 + math.cos(math.pi * done)) / 2
