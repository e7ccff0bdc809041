"""Training one network on its own: `mode=retrain` from scratch, `mode=finetune` from the supernet.

Both are the training of a supernet that holds one network, so that it continues after a stop.
The weights of the last step are reported, not the best ones: choosing by accuracy is selection.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from collm_nas.cli import training_run as training
from collm_nas.cli.evaluate.subnet_evaluator import SubnetEvaluator, build_subnet_evaluator
from collm_nas.cli.evaluate.target import Target
from collm_nas.cli.preflight import all_of
from collm_nas.config.run import Stopped, UserError, build, open_run
from collm_nas.core.architecture import Architecture
from collm_nas.core.cache import cache_dir
from collm_nas.core.printable import say
from collm_nas.core.problem import Metrics
from collm_nas.data.base import ImageData, SplitName
from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.protocol import protocol
from collm_nas.report.evaluations import keep
from collm_nas.report.uncertainty import near_chance
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.stand_alone import NORMS, Alone, OneNetwork
from collm_nas.training.checkpoints import Diverged
from collm_nas.training.module import Teacher
from collm_nas.training.phases import Interrupted, run_phases
from collm_nas.training.recipe import Recipe
from collm_nas.training.reference_subnets import largest
from collm_nas.training.seeds import key
from collm_nas.training.validation import Anchors

# what the weights depend on, and so may not change between two visits
FIXED = (
    *("searchspace", "data", "train_on", "recipe", "trainer.precision"),
    *("seed", "start", "distill"),
)
OWN = (
    *("searchspace", "data", "train_on", "recipe", "trainer"),
    *("logger", "pace", "data_workers", "choices"),
)


class TrainedAlone:
    """Trains every architecture that is asked for, and measures it on `search_val`."""

    objective = "val_accuracy"

    def __init__(self, cfg: DictConfig, space: SearchSpace, directory: Path) -> None:
        if training.trained_on(cfg) == "train":
            raise UserError(
                "train_on=train trains with search_val, by which stand_alone=train compares: leave "
                "one of them out"
            )
        self.cfg, self.space, self.directory = cfg, space, directory
        self.protocol = f"trained alone, {cfg.evaluator.protocol}"

    def evaluate(self, arch: Architecture) -> Metrics:
        directory = self.directory / self.space.key(arch)
        evaluator = train_alone(self.cfg, self.space, arch, directory, self.cfg.seed)
        return evaluator.accuracy(arch, evaluator.validation)


def evaluate_trained(
    cfg: DictConfig, mode: str, target: Target, seeds: Sequence[int], start: SubnetEvaluator | None
) -> list[Metrics]:
    """Train once for each seed, measure, print and store.

    Args:
        start: the supernet whose weights training starts from; `None`: random ones.
    """
    evaluators = [
        train_alone(
            cfg,
            target.space,
            target.arch,
            target.directory / f"{mode}-{target.space.key(target.arch)}-seed{seed}",
            seed,
            start,
        )
        for seed in seeds
    ]
    arch = target.arch
    unseen: list[SplitName] = ["test", "search_val"]
    if training.trained_on(cfg) == "train":
        unseen.remove("search_val")
    found: list[Metrics] = [
        {name: x for split in unseen for name, x in b.accuracy(arch, split).items()}
        for b in evaluators
    ]
    summary = {name: [run[name] for run in found] for name in found[0]}
    _tell(cfg, mode, target, summary, evaluators[0], seeds)
    entry = {
        "mode": mode,
        "label": target.label,
        "architecture": target.space.encode(arch),
        "metrics": {name: statistics.fmean(values) for name, values in summary.items()},
        "by_seed": summary,
        "seeds": list(seeds),
        "costs": target.space.costs(arch),
        "recipe": OmegaConf.to_container(cfg.recipe, resolve=True),
        "trained_on": training.trained_on(cfg),
        "weights": [str(evaluator.measurement.weights.path) for evaluator in evaluators],
        "protocol": evaluators[0].protocol.name,
    }
    say(f"written to {keep(target.directory, entry)}")
    return found


def train_alone(
    cfg: DictConfig,
    space: SearchSpace,
    arch: Architecture,
    directory: Path,
    seed: int,
    start: SubnetEvaluator | None = None,
) -> SubnetEvaluator:
    """Train `arch` in `directory`, or continue; return the evaluator of its last weights.

    Raises:
        Stopped: the user interrupted.
        UserError: the recipe trains no single network, the training failed, or it was begun with
            other settings.
    """
    one = OneNetwork(space, arch)
    own = _own(cfg, seed, start)
    training.quieten_lightning()
    try:
        with open_run(own, directory, FIXED, training.RESULTS):
            path = _train(own, one, directory, start)
    except Interrupted:
        raise Stopped("interrupted", directory) from None
    except (Diverged, torch.OutOfMemoryError) as error:
        raise UserError(str(error)) from error
    return build_subnet_evaluator(cfg, one, str(path))


def _train(
    cfg: DictConfig, one: OneNetwork, directory: Path, start: SubnetEvaluator | None
) -> Path:
    """Return the file with the weights of the last step."""
    recipe, data, *_ = all_of(
        lambda: _recipe(cfg).fixed(one.arch),
        lambda: build(cfg.data),
        *training.equipment(cfg, one, directory),
    )
    anchors = partial(_anchors, one, data, recipe)
    job = training.assemble_job(cfg, directory, one, recipe, data, anchors)
    job = replace(job, info={**job.info, NORMS: recipe.norms})
    torch.manual_seed(key(cfg.seed, "weights"))
    network = Alone(one)
    if start is not None:
        _refuse_other_pixels(start, recipe)
        supernet = start.supernet.cpu()
        network.network = supernet.extract(one.arch)
        if cfg.distill:
            job = replace(job, teacher=Teacher(supernet, largest(one.space, {})))
    run_phases(job, network.train())
    return job.weights(recipe.phases[-1])


def _refuse_other_pixels(start: SubnetEvaluator, recipe: Recipe) -> None:
    weights = start.measurement.weights
    if weights.pixels != recipe.pixels:
        raise UserError(
            f"{weights.path} wants its pixels as {weights.pixels}, the recipe gives them as "
            f"{recipe.pixels}: set recipe.pixels={weights.pixels}"
        )


def _recipe(cfg: DictConfig) -> Recipe:
    """Build the recipe; refuse what only supernets can be taught by."""
    recipe: Recipe = build(cfg.recipe)
    wrong = [p.name for p in recipe.phases if p.teacher or p.prepare or p.init_from]
    if wrong:
        raise UserError(
            f"recipe: phase {', '.join(wrong)} trains a supernet (teacher, prepare or init_from "
            "is set). Choose a recipe of one network: recipe=ofa_finetune, spos_retrain, "
            "autoformer_finetune, nb201_retrain, or light"
        )
    return recipe


def _anchors(
    one: OneNetwork, data: ImageData, recipe: Recipe, choices: Mapping[str, Any]
) -> Anchors:
    chosen = protocol("clean", bn="none" if recipe.norms == "own" else None)
    pixels = pixel_format(recipe.pixels)
    images = ProtocolImages.of(chosen, data, cache_dir() / "images", pixels, None)
    doubt = partial(near_chance, classes=len(data.classes))
    return Anchors(one, {"network": one.arch}, images, doubt)


def _own(cfg: DictConfig, seed: int, start: SubnetEvaluator | None) -> DictConfig:
    """Return the part of the config that this training reads; the last weights are kept."""
    values = {
        name: OmegaConf.to_container(cfg[name], resolve=True)
        if OmegaConf.is_config(cfg[name])
        else cfg[name]
        for name in OWN
    }
    weights = start.measurement.weights.sha256 if start else "random"
    distill = bool(start and cfg.distill)
    known = {"seed": seed, "keep": "last", "start": weights, "distill": distill}
    return OmegaConf.create({**values, **known})


def _tell(
    cfg: DictConfig,
    mode: str,
    target: Target,
    summary: Mapping[str, Sequence[float]],
    evaluator: SubnetEvaluator,
    seeds: Sequence[int],
) -> None:
    how = {"retrain": "from scratch", "finetune": "from inherited weights"}[mode]
    print(
        f"{target.label}, trained {how} on {len(evaluator.data.split(training.trained_on(cfg))):,} "
        f"images, last weights; {len(seeds)} seed(s)"
    )
    for name, values in summary.items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"  {name:14} {statistics.fmean(values):6.2f}{spread}")
    held_out = "which no search has seen" if evaluator.held_out else "CAUTION: not held out"
    images = len(evaluator.data.split("test"))
    print(f"Top-1 and top-5 in percent; test: {images:,} images, {held_out}.")
    if len(seeds) > 1:
        print("± is the standard deviation over trainings with other seeds.")
