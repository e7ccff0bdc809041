"""One phase of training as Lightning runs it: what a step does to the weights.

A step is a function of the weights, the seed and its number: images, their order and size,
augmentation, subnets and dropout are drawn by them. So a run that was killed continues as if
nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from collm_nas.core.architecture import Architecture
from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.batchnorm import batch_norms
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.checkpoints import ADVICE, Diverged
from collm_nas.training.gradients import average_over_processes, fill_missing, processes
from collm_nas.training.recipe import LARGEST, Phase, Recipe
from collm_nas.training.seeds import key


@dataclass(frozen=True)
class Teacher:
    """The network that a phase learns from, besides the labels: its largest subnet."""

    network: nn.Module
    arch: Architecture


class SupernetTraining(L.LightningModule):
    """Trains a network whose forward takes images and an architecture.

    Losses of a step are summed over its subnets, as the papers' code does, not averaged. Its images
    go through the network in micro-batches, which are the same images whatever the number of
    processes is.

    Args:
        network: a supernet, or one network that ignores the architecture.
        phase: of `recipe`.
        classes: how many there are.
        seed: of this phase.
        steps_per_epoch: how many steps make an epoch.
        first_step: where to go on.
        teacher: where the phase has one with other weights.
    """

    def __init__(
        self,
        network: nn.Module,
        space: SearchSpace,
        recipe: Recipe,
        phase: Phase,
        classes: int,
        seed: int,
        steps_per_epoch: int,
        first_step: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.space, self.recipe, self.phase = space, recipe, phase
        self.classes, self.seed = classes, seed
        self.steps_per_epoch, self.first_step = steps_per_epoch, first_step
        self._teacher = (teacher,)  # a tuple: not a part of the weights that are stored
        self.pixels = pixel_format(recipe.pixels)
        self._momenta = {norm: norm.momentum for norm in batch_norms(network)}

    def configure_optimizers(self) -> Optimizer:
        rate = self.recipe.learning_rate(self.phase, self.first_step, self.steps_per_epoch)
        return self.recipe.optimizer.build(self.network, rate)

    def on_fit_start(self) -> None:
        """Put the teacher where the network is; it drops nothing out, as in once-for-all."""
        if self.phase.statistics_only:
            for norm in self._momenta:
                norm.momentum = None  # torch's way to ask for the mean over all batches
                if self.first_step == 0:
                    norm.reset_running_stats()
        (teacher,) = self._teacher
        if teacher is not None:
            teacher.network.to(self.device).train(self.recipe.teacher_mode == "train")
            for module in teacher.network.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()

    def on_fit_end(self) -> None:
        """Leave the batch norms as they were."""
        for norm, momentum in self._momenta.items():
            norm.momentum = momentum

    def subnets(self, step: int) -> tuple[Architecture, ...]:
        """Return the subnets that a step of this phase updates."""
        assert self.phase.sampling is not None
        return self.phase.sampling.draw(self.space, self.seed, step)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        """Update the weights; return what there is to log.

        Raises:
            Diverged: the loss is not a number.
        """
        step = self.first_step + batch_idx
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad(set_to_none=True)
        subnets = self.subnets(step)
        losses = torch.zeros(len(subnets), device=self.device)
        for number, share, piece in self._micro_batches(batch):
            torch.manual_seed(key(self.seed, "dropout", step, number))
            images_NCHW, targets = self._prepared(piece, step, number)
            losses += share * self._backward(subnets, images_NCHW, targets, share)
        if not losses.isfinite().all():
            raise Diverged(_diverged(step, subnets, losses.tolist(), self.space))
        rate = self.recipe.learning_rate(self.phase, step, self.steps_per_epoch)
        if not self.phase.statistics_only:
            self._finish_gradients(optimizer, rate)
            optimizer.step()
        return {"step": step, "losses": losses, "lr": rate, "subnets": subnets}

    def _micro_batches(
        self, batch: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[int, float, tuple[Tensor, Tensor]]]:
        """Yield each one's number in the whole step, its share of this process's loss, and itself.

        Of the images of a step every n-th is in the same one, n being their number, as every
        process gets every n-th image; so both ways of dividing give the same ones.
        """
        pixels_NHWC, labels = batch
        count = len(labels) // (self.recipe.micro_batch or len(labels))
        for i in range(count):
            piece = pixels_NHWC[i::count].contiguous(), labels[i::count]
            yield self.global_rank + i * processes(), 1 / count, piece

    def _prepared(
        self, batch: tuple[Tensor, Tensor], step: int, number: int
    ) -> tuple[Tensor, Tensor]:
        pixels_NHWC, labels = batch
        images_NCHW = self.pixels.apply(pixels_NHWC.permute(0, 3, 1, 2))
        seed = key(self.seed, "batch", step, number)
        return self.recipe.augmentation.batch(images_NCHW, labels, self.classes, seed)

    def _backward(
        self,
        subnets: tuple[Architecture, ...],
        images_NCHW: Tensor,
        targets: Tensor,
        share: float = 1.0,
    ) -> Tensor:
        """Add `share` of the gradients of all subnets up; return their losses."""
        (teacher,) = self._teacher
        lesson = None
        if teacher is not None:
            with torch.no_grad():
                lesson = teacher.network(images_NCHW, teacher.arch)
        losses = []
        for arch in subnets:
            with torch.set_grad_enabled(not self.phase.statistics_only):
                logits_NC = self.network(images_NCHW, arch)
            loss = self.recipe.loss(logits_NC, targets, lesson)
            if self.phase.teacher == LARGEST and lesson is None:
                lesson = logits_NC.detach()
            if not self.phase.statistics_only:
                self.manual_backward(share * loss)
            losses.append(loss.detach())
        return torch.stack(losses)

    def _finish_gradients(self, optimizer: Any, rate: float) -> None:
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        if processes() > 1:
            average_over_processes(parameters)
        if self.phase.zero_unused_gradients:
            fill_missing(parameters)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate


def _diverged(
    step: int, subnets: tuple[Architecture, ...], losses: list[float], space: SearchSpace
) -> str:
    each = "; ".join(
        f"{space.key(arch)}: {loss}" for arch, loss in zip(subnets, losses, strict=True)
    )
    return f"the loss of step {step:,} is not finite ({each}). {ADVICE}"
