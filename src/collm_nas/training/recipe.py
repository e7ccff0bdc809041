"""How a supernet, or one network, is trained: phases, and what they have in common."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Protocol

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator
from torch import nn

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, NotNegative, Positive, Side, Text
from collm_nas.data.pixels import PixelsName
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.augmentation import Augmentation
from collm_nas.training.loss import Loss
from collm_nas.training.optimizer import OptimizerRecipe
from collm_nas.training.sampling import Fixed, SamplingRule, draw_size
from collm_nas.training.schedule import Horizon, Schedule

OFFICIAL = "official"  # weights: the released ones
LARGEST = "largest"  # as a teacher: the first subnet of the same step
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]  # as Lightning names them


class Preparation(Protocol):
    """Changes the trained weights of a supernet once, before a phase; never on resuming."""

    def __call__(self, supernet: nn.Module) -> None:
        """Change `supernet` in place."""

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        """Say why this does not fit supernets of `space`; `key` is its place in the config."""


def _folder(name: str) -> str:
    if not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name):
        raise ValueError(f"must be letters, digits, . _ + or -: it names a folder, got {name!r}")
    return name


@checked
@dataclass(frozen=True)
class Phase:
    """One stretch of training; it starts from the weights that the one before ended with.

    Args:
        name: of its weights file and its results.
        lr: the peak learning rate, for `Recipe.lr_batch` images.
        statistics_only: no weight moves, and `lr` means nothing: the running statistics of batch
            norms become the means over all batches of the phase. So SPOS ends the training of one
            network (`bn_process` in https://github.com/megvii-model/SinglePathOneShot).
        epochs: how long it lasts, warm-up included; or
        steps: the same in optimiser steps.
        warmup_epochs: the first of the epochs, in which the learning rate grows.
        sampling: which subnets a step updates; `null`: of the one network that is retrained.
        teacher: `null`: labels alone teach. `largest`: the first subnet of a step learns from the
            labels and teaches the others. Else the largest subnet with other weights: those that
            an earlier phase ended with, by its name, or those of a file, or `official` ones.
        init_from: a weights file, or `official`; `null`: the phase before, or random weights.
        prepare: what is done to the weights that it begins with, e.g. sorting the channels by
            importance; `null`: nothing.
        zero_unused_gradients: what becomes of parameters that no subnet of a step used. `true`:
            their gradients are zero, so that decay and momentum still move them; `false`: they
            stay as they are.
    """

    name: Annotated[str, AfterValidator(_folder)]
    lr: NotNegative = 0.0
    epochs: Positive | None = None
    steps: Annotated[int, Ge(1), Le(10**9)] | None = None
    warmup_epochs: NotNegative = 0
    sampling: SamplingRule | None = None
    teacher: Text | None = None
    init_from: Text | None = None
    prepare: Preparation | None = None
    zero_unused_gradients: bool = False
    statistics_only: bool = False

    def length(self, steps_per_epoch: int) -> int:
        """Return how many steps the phase takes."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * steps_per_epoch))

    def problems(self) -> list[str]:
        """Say what is wrong with this phase by itself; each begins with a key."""
        found = []
        lengths = [n for n in (self.epochs, self.steps) if n is not None]
        if len(lengths) != 1:
            found.append(
                f"epochs or steps must be set, not both, got {self.epochs} and {self.steps}"
            )
        if not self.lr and not self.statistics_only:
            found.append(f"lr must be positive, got {self.lr}")
        if 0 < (self.epochs or 0) < self.warmup_epochs:
            found.append(
                f"warmup_epochs must be a part of the phase's epochs, got {self.warmup_epochs}"
            )
        return found


@checked
@dataclass(frozen=True)
class Recipe:
    """All that decides which weights come out of a training, besides data, network and seed.

    Args:
        pixels: how images are given to the network, a name in `collm_nas.data.pixels`.
        batch_size: images of an optimiser step, over all processes.
        micro_batch: so many of them go through the network at a time: batch norms normalise with
            them, and mixup mixes them with each other. It is what one GPU of the source had, and
            makes a training the same on any number of GPUs. `null`: the share of each process.
        augmentation: what a training step sees of an image.
        optimizer: see `collm_nas.training.optimizer`.
        schedule: see `collm_nas.training.schedule`.
        loss: see `collm_nas.training.loss`.
        phases: in order.
        lr_batch: the phases' learning rates are for so many images and scale with the batch
            size; `null`: they are for the batch size.
        resolutions: sides of the images in pixels, drawn for each batch; `null`: those of the
            space, or that of the one network that is trained.
        clip_norm: the largest norm of a gradient; `null`: any.
        teacher_mode: of a teacher with other weights. `train`: batch statistics normalise it, as
            in once-for-all; `eval`: its running ones. No teacher has dropout.
        precision: of the arithmetic on a GPU, unless `trainer.precision` says otherwise.
        keep: the weights that a phase of a supernet leaves: those of the `last` step, or of the
            `best` validation. One network always leaves its last.
        norms: the statistics that one trained network is measured with: those that its training
            left (`own`), or those of the protocol, as for inherited weights (`calibrated`).
        made_for: what the identity of the search space must begin with; `null`: any.

    Raises:
        ValueError: all the problems at once.
    """

    pixels: PixelsName
    batch_size: Count
    augmentation: Augmentation
    optimizer: OptimizerRecipe
    schedule: Schedule
    loss: Loss
    phases: Annotated[Sequence[Phase], MinLen(1)]
    lr_batch: Count | None = None
    resolutions: Annotated[Sequence[Side], MinLen(1)] | None = None
    clip_norm: Positive | None = None
    teacher_mode: Literal["train", "eval"] = "eval"
    micro_batch: Count | None = None
    precision: Precision | None = None
    keep: Literal["best", "last"] = "best"
    norms: Literal["calibrated", "own"] = "calibrated"
    made_for: Text | None = None

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise ValueError("\n".join(problems))

    def learning_rate(self, phase: Phase, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step, counted from the start of `phase`."""
        scale = self.batch_size / (self.lr_batch or self.batch_size)
        horizon = Horizon(
            steps=phase.length(steps_per_epoch),
            warmup=round(phase.warmup_epochs * steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            lr=phase.lr * scale,
            unscaled_lr=phase.lr,
        )
        return self.schedule.lr(step, horizon)

    def image_size(self, phase: Phase, space: SearchSpace, seed: int, step: int) -> int:
        """Return the side of the images of a step of `phase`, in pixels."""
        match phase.sampling:
            case Fixed(arch):
                own: Sequence[int] = (space.resolution(arch),)
            case _:
                own = space.image_sizes()
        return draw_size(self.resolutions or own, seed, step)

    def files(self) -> set[str]:
        """Name the weights from elsewhere that phases begin with or learn from."""
        own = {LARGEST, *(phase.name for phase in self.phases)}
        named = {origin for p in self.phases for origin in (p.init_from, p.teacher) if origin}
        return named - own

    def fixed(self, arch: Architecture) -> Recipe:
        """Return this recipe for one network: all of its phases train `arch`."""
        phases = tuple(replace(phase, sampling=Fixed(arch)) for phase in self.phases)
        return replace(self, phases=phases)

    def _problems(self) -> list[str]:
        found = []
        if self.micro_batch and self.batch_size % self.micro_batch:
            found.append(
                f"recipe.batch_size must be a multiple of recipe.micro_batch, got "
                f"{self.batch_size} and {self.micro_batch}"
            )
        return found + self._wrong_phases()

    def _wrong_phases(self) -> list[str]:
        strangers = [i for i, phase in enumerate(self.phases) if not isinstance(phase, Phase)]
        if strangers:
            return [
                f"recipe.phases[{i}] needs `_target_: collm_nas.training.recipe.Phase`"
                for i in strangers
            ]
        found = [
            f"recipe.phases[{i}].{problem}"
            for i, phase in enumerate(self.phases)
            for problem in phase.problems()
        ]
        names = Counter(phase.name for phase in self.phases)
        found += [f"recipe.phases: two are named {name}" for name, n in names.items() if n > 1]
        return found + [p for i in range(len(self.phases)) for p in self._wrong_origin(i)]

    def _wrong_origin(self, i: int) -> list[str]:
        """Say what is wrong with where phase `i` gets its weights and its teacher from."""
        phase, key = self.phases[i], f"recipe.phases[{i}]"
        earlier = [p.name for p in self.phases[:i]]
        found = []
        if not _exists(phase.teacher, OFFICIAL, LARGEST, *earlier):
            found.append(
                f"{key}.teacher must be {OFFICIAL}, a weights file that exists, or one of "
                f"{', '.join([LARGEST, *earlier])}, got {phase.teacher!r}"
            )
        if not _exists(phase.init_from, OFFICIAL):
            found.append(
                f"{key}.init_from must be {OFFICIAL} or a weights file that exists, got "
                f"{phase.init_from!r}"
            )
        if phase.prepare and not i and not phase.init_from:
            found.append(
                f"{key}.prepare works on trained weights: name some in {key}.init_from, or put a "
                "phase before it"
            )
        return found


def _exists(origin: str | None, *known: str) -> bool:
    return origin is None or origin in known or Path(origin).is_file()
