"""How long a training step waits for its images: decoded ahead by workers, against one in memory.

An epoch's first steps of `mobilenet_tiny` at 96 pixels; the same steps once with the images of a
folder and once with one batch again and again. The target: the real loader costs at most 5%.
`PYTHONPATH=src python benchmarks/data_loading.py FOLDER`, with what `data=imagefolder data.root=`
takes, e.g. a part of ImageNet.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from collm_nas.recipe.loader import AugmentedImages, StepBatches, batches
from collm_nas.recipe.training import SupernetTraining
from collm_nas.run import build
from collm_nas.supernet.base import build_supernet

CONF = Path(__file__).resolve().parents[1] / "conf"


class Step(SupernetTraining):
    """The training step without a trainer around it."""

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        return self.sgd

    def manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()


def seconds_of_steps(step: Step, source: Iterable[Any], steps: int) -> list[float]:
    """Return the time of each step, the wait for its batch included; the first are warm-up."""
    times, start = [], time.perf_counter()
    for i, batch in enumerate(itertools.islice(source, steps)):
        step.training_step(batch, i)
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return times[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    for name, default in (("steps", 30), ("workers", 1), ("threads", 1), ("size", 96)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = ["searchspace=mobilenet_tiny", "recipe=light", "data=imagefolder"]
    overrides = [*names, f"data.root={options.folder}", f"searchspace.resolutions=[{options.size}]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train_supernet", overrides)
    data, recipe = build(cfg.data), build(cfg.recipe)
    cfg.searchspace.num_classes = len(data.classes)
    space, train = build(cfg.searchspace), data.split("train_fit")
    network = build_supernet(space)
    step = Step(network, space, recipe, recipe.phases[0], len(data.classes), 0, 100)
    step.sgd = recipe.optimizer.build(network, 0.1)
    order = StepBatches(
        len(train), recipe.batch_size, lambda step: options.size, 0, range(options.steps)
    )
    images = AugmentedImages(train, recipe.augmentation, 0)
    loader = batches(images, order, options.workers, pin=False)
    in_memory = itertools.repeat(next(iter(batches(images, order, 0, pin=False))))
    alone = statistics.median(seconds_of_steps(step, in_memory, options.steps))
    real = statistics.median(seconds_of_steps(step, loader, options.steps))
    print(f"a step of {recipe.batch_size} images, in memory: {1e3 * alone:.0f} ms")
    print(f"with {options.workers} workers: {1e3 * real:.0f} ms, {real / alone - 1:+.1%}")


if __name__ == "__main__":
    main()
