"""A recipe's phases, one after the other: each leaves a file of weights, and is never repeated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as L
import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from collm_nas.config.run import ELSEWHERE
from collm_nas.core.files import write_atomically
from collm_nas.data.base import Split
from collm_nas.evaluator.batchnorm import batch_norms
from collm_nas.evaluator.single_precision import ieee_single_precision
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import load_supernet, save_supernet
from collm_nas.spaces.download import supernet_file
from collm_nas.spaces.supernet import Supernet
from collm_nas.training.checkpoints import Checkpoints, read_checkpoint
from collm_nas.training.loader import AugmentedImages, StepBatches, batches
from collm_nas.training.module import SupernetTraining, Teacher
from collm_nas.training.pace import Pace
from collm_nas.training.progress import Watching
from collm_nas.training.recipe import LARGEST, Phase, Recipe
from collm_nas.training.reference_subnets import largest
from collm_nas.training.seeds import key
from collm_nas.training.validation import Anchors, Validation, open_rows

PROCESSES = "processes"  # a file of a run: how many train, where weights depend on it
FINISHED = "finished"  # a file of a phase that is done: how many steps it took


@dataclass(frozen=True)
class Job:
    """All that a training is made of, but the network.

    Args:
        train: the images to train with.
        keep: the weights that a phase leaves: `best` on the anchors, or `last`.
        trainer: builds Lightning's trainer from callbacks and loggers.
        loggers: builds them for a phase, by its name, of which so many steps are done.
        workers: processes that decode and augment images.
        most_steps: of a phase; what is left out of it is not trained.
        info: what is stored with the weights.
        validated_on: how many images the accuracy of an anchor is counted on.
        teacher: of phases that name none.
    """

    space: SearchSpace
    recipe: Recipe
    train: Split
    classes: int
    anchors: Callable[[Mapping[str, Any]], Anchors]
    directory: Path
    seed: int
    pace: Pace
    keep: str
    trainer: Callable[..., L.Trainer]
    loggers: Callable[[str, int], Sequence[Logger]]
    workers: int
    most_steps: int | None
    info: Mapping[str, str]
    validated_on: int
    teacher: Teacher | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Return how many batches the images make, at least one."""
        return max(1, len(self.train) // self.recipe.batch_size)

    def steps(self, phase: Phase) -> int:
        """Return how many steps `phase` is trained for."""
        length = phase.length(self.steps_per_epoch)
        return length if self.most_steps is None else min(length, self.most_steps)

    def weights(self, phase: Phase) -> Path:
        """Return the file that `phase` leaves."""
        return self.directory / "phases" / phase.name / "supernet.safetensors"


class Interrupted(Exception):
    """The process was told to end; the checkpoint is written."""


def run_phases(job: Job, network: nn.Module) -> list[dict[str, Any]]:
    """Train `network` through all phases that are not finished; return their results.

    Raises:
        Interrupted: the process was told to end.
        Diverged: a loss or the weights are no numbers any more.
        ValueError: weights that a phase begins with are missing or do not fit.
    """
    return [_run_phase(job, network, i) for i in range(len(job.recipe.phases))]


def save_network(path: Path, network: nn.Module, job: Job, step: int) -> None:
    """Write the weights with all that tells where they come from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_supernet(path, cast(Supernet, network), job.space, {**job.info, "step": str(step)})


def load_weights(path: Path, network: nn.Module, space: SearchSpace) -> None:
    """Give `network` the weights in `path`.

    Raises:
        FileNotFoundError, WrongCheckpoint: see `load_supernet`.
    """
    network.load_state_dict(load_supernet(path, space).state_dict())


def _run_phase(job: Job, network: nn.Module, index: int) -> dict[str, Any]:
    phase, kept = job.recipe.phases[index], job.weights(job.recipe.phases[index])
    directory, steps = kept.parent, job.steps(phase)
    finished = directory / FINISHED
    validated = directory / "validation.jsonl"
    if not finished.exists():
        _begin(job, network, index)
        _train(job, network, phase, steps, directory)
    elif (trained := finished.read_text()) != str(steps):
        raise ValueError(
            f"{directory} was trained for {trained} steps, now it would be {steps} "
            f"(trainer.limit_train_batches). Choose another directory: {ELSEWHERE}"
        )
    load_weights(kept, network, job.space)
    rows = open_rows(validated)
    if not rows.entries:
        rows.refuse(0, "a phase that is over has a line at least")
    row = _kept_row(rows.entries, job.keep)
    return {"phase": phase.name, "steps": steps, "anchors": row, "images": job.validated_on}


def _begin(job: Job, network: nn.Module, index: int) -> None:
    """Give `network` the weights that the phase begins with."""
    phase = job.recipe.phases[index]
    if phase.init_from is not None:
        load_weights(supernet_file(phase.init_from, job.space), network, job.space)
    if phase.prepare is not None:
        phase.prepare(network)


def _train(job: Job, network: nn.Module, phase: Phase, steps: int, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    last = directory / "last.ckpt"
    restored = read_checkpoint(last)
    first = 0 if restored is None else int(restored["step"])
    seed = key(job.seed, phase.name)
    module = SupernetTraining(
        network,
        job.space,
        job.recipe,
        phase,
        job.classes,
        seed,
        job.steps_per_epoch,
        first,
        _teacher(job, network, phase),
    )
    pace = job.pace
    assert phase.sampling is not None
    save = partial(_save_kept, job, directory / "supernet.safetensors")
    validation = Validation(
        job.anchors(phase.sampling.choices),
        directory / "validation.jsonl",
        max(1, round(pace.validate_every_epochs * job.steps_per_epoch)),
        steps,
        first,
        save,
        job.keep == "last",
    )
    title = f"phase {phase.name}"
    watching = Watching(title, steps, pace.log_every_steps, lambda: validation.best)
    checkpoints = Checkpoints(
        last, restored, pace.checkpoint_every_steps, pace.checkpoint_every_seconds, steps
    )
    trainer = job.trainer(
        callbacks=[validation, watching, checkpoints], logger=list(job.loggers(phase.name, first))
    )
    _hold_processes(job, network, trainer)
    with ieee_single_precision():
        trainer.fit(module, _loader(job, phase, seed, range(first, steps), trainer))
    trainer.strategy.barrier()
    if checkpoints.stopped:
        raise Interrupted
    if trainer.is_global_zero:
        write_atomically(directory / FINISHED, str(steps))


def _hold_processes(job: Job, network: nn.Module, trainer: L.Trainer) -> None:
    """Refuse another number of processes than before where batch norms depend on it, and say so.

    Raises:
        ValueError: the training was begun with another number.
    """
    if job.recipe.micro_batch is not None or not batch_norms(network):
        return
    held, now = job.directory / PROCESSES, str(trainer.world_size)
    share = job.recipe.batch_size // trainer.world_size
    if not held.exists():
        if trainer.is_global_zero:
            write_atomically(held, now)
            if trainer.world_size > 1:
                print(f"batch norms see the {share} images of their own process", file=sys.stderr)
    elif (before := held.read_text()) != now:
        raise ValueError(
            f"{job.directory} was begun with {before} process(es), now there are {now}: batch "
            f"norms would see {share} images at a time, not as many as before. Go on with as many "
            "(trainer.devices, num_nodes), or begin in another run_dir, where "
            "recipe.micro_batch=N makes a training "
            "the same on any number"
        )


def _loader(
    job: Job, phase: Phase, seed: int, steps: range, trainer: L.Trainer
) -> torch.utils.data.DataLoader[Any]:
    images = AugmentedImages(job.train, job.recipe.augmentation, seed)
    order = StepBatches(
        len(job.train),
        job.recipe.batch_size,
        lambda step: job.recipe.image_size(phase, job.space, seed, step),
        seed,
        steps,
        job.recipe.augmentation.repeats,
        trainer.global_rank,
        trainer.world_size,
        job.recipe.micro_batch,
    )
    return batches(images, order, job.workers, trainer.strategy.root_device.type == "cuda")


def _teacher(job: Job, network: nn.Module, phase: Phase) -> Teacher | None:
    if phase.teacher is None or phase.teacher == LARGEST:
        return job.teacher
    earlier = {p.name: job.weights(p) for p in job.recipe.phases}
    path = earlier.get(phase.teacher) or supernet_file(phase.teacher, job.space)
    teacher = deepcopy(network)
    load_weights(path, teacher, job.space)
    return Teacher(teacher, largest(job.space, {}))


def _save_kept(job: Job, path: Path, network: nn.Module, step: int) -> None:
    save_network(path, network, job, step)


def _kept_row(rows: Sequence[Mapping[str, Any]], keep: str) -> dict[str, Any]:
    row = rows[-1] if keep == "last" else max(rows, key=lambda r: float(r["mean"]))
    return dict(row)
