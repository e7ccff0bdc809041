"""One training from its config: build the parts, run the phases, write the weights, report.

Repeating it continues the run in its directory; finished phases are not repeated.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import pytorch_lightning as L
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger as LightningBase

from collm_nas.cli.preflight import all_of, require_logins, require_room
from collm_nas.config.run import Stopped, UserError, build, environment, open_run
from collm_nas.core.cache import cache_dir
from collm_nas.core.files import write_atomically
from collm_nas.data.base import BrokenImage, ImageData
from collm_nas.data.check import check_classes
from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.protocol import protocol
from collm_nas.evaluator.supernet import calibration_view
from collm_nas.logger.base import LoggedRun, Loggers
from collm_nas.logger.lightning import LightningLogger
from collm_nas.report.next_command import next_command
from collm_nas.report.uncertainty import LEVEL, near_chance, written
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import load_supernet
from collm_nas.spaces.download import WeightsUnavailable, supernet_file
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.checkpoints import Diverged
from collm_nas.training.fit import check
from collm_nas.training.pace import Pace
from collm_nas.training.phases import Interrupted, Job, run_phases, save_network
from collm_nas.training.recipe import Recipe
from collm_nas.training.reference_subnets import anchors
from collm_nas.training.seeds import key
from collm_nas.training.trainer_logger import TrainerLogger
from collm_nas.training.validation import Anchors

# what the weights depend on: it may not change between two visits of a run
FIXED = (
    *("searchspace", "data", "recipe", "validation", "keep", "train_on", "pace", "seed"),
    "trainer.precision",
)
STATES = 3  # in a checkpoint: weights, and at most two of an optimiser for each
RESULTS = (
    *("*.safetensors", "phases/*/*.safetensors"),
    *("phases/*/*.ckpt", "phases/*/validation.jsonl"),
)
OWN = (  # keys of this command
    *("searchspace", "data", "recipe", "validation", "keep", "train_on", "pace", "seed"),
    *("trainer", "logger", "data_workers", "choices"),
)


def run(cfg: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Train or continue the supernet that `cfg` describes; return what is in `result.json`.

    Raises:
        Stopped: the user interrupted; the same command continues.
        UserError: the configuration does not work, or the training failed for a reason to mend.
    """
    cfg = own_part(cfg)
    with _held(cfg, run_dir):
        start = time.monotonic()
        try:
            job = build_job(cfg, run_dir)
            torch.manual_seed(key(cfg.seed, "weights"))
            network = build_supernet(job.space)
            phases = run_phases(job, network)
        except Interrupted:
            raise Stopped("interrupted", run_dir) from None
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"not enough memory: {error}\nLower recipe.batch_size, searchspace.resolution or "
                "recipe.resolutions, or the number of subnets of a step; or train with more "
                "devices (trainer.devices). Then repeat the command with another run_dir=…"
            ) from error
        except BrokenImage as error:
            raise UserError(str(error), run_dir) from error
        except (Diverged, ValueError, FileNotFoundError, WeightsUnavailable) as error:
            raise UserError(str(error)) from error
        weights = run_dir / "supernet.safetensors"
        result = {
            "supernet": str(weights),
            "searchspace": job.space.identity,
            "seconds of this visit": round(time.monotonic() - start, 1),
            "trained on": trained_on(cfg),
            "phases": phases,
            "cautions": _cautions(job, phases[-1]["anchors"]),
        }
        if _rank() == 0:
            save_network(weights, network, job, phases[-1]["anchors"]["step"])
            write_atomically(run_dir / "result.json", json.dumps(result, indent=2))
            _tell(result)
        return result


def next_step(typed: Sequence[str], result: Mapping[str, Any]) -> str:
    """Say what to type after a training; nothing in the processes that only help.

    Args:
        typed: the overrides of this command, which the next one keeps where it knows them.
    """
    if _rank():
        return ""
    of_a_search = ("searchspace", "data", "experiment")
    shared = tuple(f"{key}{end}" for key in of_a_search for end in "=.")
    kept = [override for override in typed if override.startswith(shared)]
    return next_command("search.py", *kept, supernet=result["supernet"])


def build_job(cfg: DictConfig, run_dir: Path) -> Job:
    """Build all parts of a training.

    Raises:
        ValueError: a setting is wrong, or settings do not fit each other.
        UserError: a node does not fit its class.
    """
    space: SearchSpace = build(cfg.searchspace)
    recipe, data, *_ = all_of(
        lambda: _fitting_recipe(cfg, space),
        lambda: _fitting_data(cfg, space),
        *equipment(cfg, space, run_dir),
    )
    anchors_of = partial(_anchors, cfg, space, data, recipe)
    return assemble_job(cfg, run_dir, space, recipe, data, anchors_of)


def equipment(cfg: DictConfig, space: SearchSpace, run_dir: Path) -> list[Callable[[], object]]:
    """List what looks whether a training has devices, a login and room on the disk.

    Each raises a `UserError` or a `ValueError` that says what is missing.
    """
    return [
        lambda: build_trainer(cfg),
        lambda: require_logins(cfg.logger),
        lambda: require_room(run_dir, _bytes_of(space, len(cfg.recipe.phases))),
    ]


def _fitting_recipe(cfg: DictConfig, space: SearchSpace) -> Recipe:
    """Build the recipe; see that it fits, and that the weights that it begins with do."""
    recipe: Recipe = build(cfg.recipe)
    check(recipe, space)
    for origin in sorted(recipe.files()):
        try:
            load_supernet(supernet_file(origin, space), space)
        except (WeightsUnavailable, FileNotFoundError) as error:
            raise UserError(str(error)) from error
    return recipe


def _fitting_data(cfg: DictConfig, space: SearchSpace) -> ImageData:
    data: ImageData = build(cfg.data)
    check_classes(space, data)
    return data


def _bytes_of(space: SearchSpace, phases: int) -> int:
    """Estimate what a training writes: weights of each phase and at the end, and a checkpoint."""
    with torch.device("meta"):
        network = build_supernet(space)
    copies = phases + 1 + 2 * STATES  # a checkpoint replaces the one before when it is whole
    return copies * sum(4 * parameter.numel() for parameter in network.parameters())


def assemble_job(
    cfg: DictConfig,
    run_dir: Path,
    space: SearchSpace,
    recipe: Recipe,
    data: ImageData,
    anchors_of: Callable[[Mapping[str, Any]], Anchors],
) -> Job:
    """Put parts together with what the config says of pace, keeping, trainer and loggers."""
    held_out = len(data.split("search_val"))
    return Job(
        space,
        recipe,
        data.split(trained_on(cfg)),
        len(data.classes),
        anchors_of,
        run_dir,
        cfg.seed,
        Pace(**cfg.pace),
        cfg.keep,
        partial(build_trainer, cfg),
        partial(_loggers, cfg, run_dir),
        cfg.data_workers,
        cfg.trainer.get("limit_train_batches"),
        _info(cfg, data, recipe),
        min(OmegaConf.select(cfg, "validation.images") or held_out, held_out),
    )


def trained_on(cfg: DictConfig) -> Literal["train_fit", "train"]:
    """Return the split to train with.

    Raises:
        ValueError: `train_on` names none.
    """
    match cfg.train_on:
        case None | "train_fit":
            return "train_fit"
        case "train":
            return "train"
    raise ValueError(f"train_on must be null, train_fit or train, got {cfg.train_on!r}")


def own_part(cfg: DictConfig) -> DictConfig:
    """Return the part of the shared config that a training reads."""
    values = {k: cfg[k] for k in OWN}
    resolved = {
        k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v
        for k, v in values.items()
    }
    return OmegaConf.create(resolved)


def _rank() -> int:
    """Return the number of this process among all that train together."""
    return int(getattr(rank_zero_only, "rank", None) or 0)


def quieten_lightning() -> None:
    """Keep Lightning from chatting: what users should know is told by our own callbacks."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")


@contextmanager
def _held(cfg: DictConfig, run_dir: Path) -> Iterator[None]:
    """Hold the run directory, in the first process only."""
    quieten_lightning()
    if _rank():
        yield
        return
    with open_run(cfg, run_dir, FIXED, RESULTS):
        write_atomically(run_dir / "environment.json", json.dumps(environment(), indent=2))
        yield


def _anchors(
    cfg: DictConfig,
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    choices: Mapping[str, Any],
) -> Anchors:
    v, pixels = cfg.validation, pixel_format(recipe.pixels)
    view = calibration_view(space, cfg.recipe) if v.get("bn_view") == "training" else None
    chosen = protocol("clean", images=v.images, bn_images=v.bn_images)
    images = ProtocolImages.of(chosen, data, cache_dir() / "images", pixels, view)
    archs = anchors(space, choices)
    return Anchors(space, archs, images, partial(near_chance, classes=len(data.classes)))


def build_trainer(cfg: DictConfig, **parts: Any) -> L.Trainer:
    """Build Lightning's trainer.

    Raises:
        ValueError: it does not fit the recipe.
        UserError: there is no such device.
    """
    try:
        trainer: L.Trainer = build(
            cfg.trainer,
            max_epochs=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **parts,
        )
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error} (config keys: trainer.accelerator, devices)") from error
    if cfg.trainer.get("sync_batchnorm"):
        raise ValueError(
            "trainer.sync_batchnorm: no paper here synchronises batch norms, and calibration knows "
            "plain ones alone. recipe.micro_batch says how many images they see"
        )
    if cfg.recipe.clip_norm is not None and str(trainer.precision) == "16-mixed":
        raise ValueError(
            "recipe.clip_norm cannot be combined with trainer.precision=16-mixed, which scales "
            "gradients: choose bf16-mixed or 32-true, or recipe.clip_norm=null"
        )
    return trainer


def _loggers(cfg: DictConfig, run_dir: Path, phase: str, done: int) -> list[LightningBase]:
    """Build the loggers of a phase of which `done` steps are; the first process has them alone."""
    if _rank():
        return []
    settings = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))
    loggers = Loggers.build(cfg.logger, LoggedRun(run_dir, done, settings, phase=phase)).members
    return [x.logger if isinstance(x, LightningLogger) else TrainerLogger(x) for x in loggers]


def _info(cfg: DictConfig, data: ImageData, recipe: Recipe) -> dict[str, str]:
    """Return what is stored with the weights: how they came to be."""
    splits = {name: data.split(name).digest for name in ("train_fit", "search_val", "test")}
    return {
        "trained_on": trained_on(cfg),
        "pixels": recipe.pixels,
        "protocol": "clean",
        "recipe": json.dumps(OmegaConf.to_container(cfg.recipe, resolve=True), sort_keys=True),
        "data": json.dumps(splits),
        "classes": json.dumps(list(data.classes)),
        "seed": str(cfg.seed),
        "code": str(environment()["collm_nas"]),
    }


def _cautions(job: Job, measured: Mapping[str, float]) -> list[str]:
    accuracies = [value for name, value in measured.items() if name not in ("step", "mean")]
    caution = near_chance(accuracies, job.validated_on, job.classes)
    return [caution] if caution else []


def _tell(result: Mapping[str, Any]) -> None:
    for phase in result["phases"]:
        anchors = {k: v for k, v in phase["anchors"].items() if k not in ("step", "mean")}
        told = ", ".join(f"{name} {written(v, phase['images'])}" for name, v in anchors.items())
        print(
            f"phase {phase['phase']}: {phase['steps']:,} steps; top-1 in percent of "
            f"{phase['images']:,} images of search_val, with {LEVEL}% intervals: {told}"
        )
    if result["trained on"] == "train":
        print("CAUTION: search_val was trained on, too (train_on=train): these are not held out")
    for caution in result["cautions"]:
        print(f"WARNING: {caution}.")
    print(f"weights: {result['supernet']} ({os.path.getsize(result['supernet']) / 1e6:.1f} MB)")
