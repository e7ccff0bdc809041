"""Whether reading images is hidden behind training: steps with the real loader, and without.

A small supernet of ShuffleNet blocks is trained with images of 64 to 96 pixels from a folder of
photographs, as `python train_supernet.py searchspace=shufflenet_tiny data=imagefolder data.root=…`
does, one process decoding ahead; then with the same batches from memory. Both take turns. The
first steps after a start are not counted: batches are waited for, or lie ready. Reading is hidden
if the ratio is 1; it can only be, on a machine with a free core, if decoding a batch takes less
CPU time than a step does.
`PYTHONPATH=src python benchmarks/data_loading.py ROOT`.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.utils.data import DataLoader

from collm_nas.config.run import build
from collm_nas.data.base import ImageData
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.loader import AugmentedImages, StepBatches, batches
from collm_nas.training.module import SupernetTraining
from collm_nas.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
NOT_COUNTED = 8  # more than the batches that lie ready


class Clock(L.Callback):
    """Takes the seconds from the end of a step to the end of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        """See `Callback`."""
        before, self._last = self._last, self._now()
        self.seconds.append(self._last[0] - before[0])
        self.cpu.append(self._last[1] - before[1])


class Training:
    """What is timed: a network, and where its batches come from."""

    def __init__(self, root: str, batch: int, steps: int) -> None:
        overrides = [
            "searchspace=shufflenet_tiny",
            "searchspace.resolution=80",
            "data=imagefolder",
            f"data.root={root}",
            "recipe=light",
            "recipe.resolutions=[64,80,96]",
            f"recipe.batch_size={batch}",
        ]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("train_supernet", overrides)
        self.space: SearchSpace = build(cfg.searchspace)
        self.recipe: Recipe = build(cfg.recipe)
        data: ImageData = build(cfg.data)
        split, phase = data.split("train_fit"), self.recipe.phases[0]
        size = partial(self.recipe.image_size, phase, self.space, 0)
        self.images = AugmentedImages(split, self.recipe.augmentation, 0)
        self.order = StepBatches(len(split), batch, size, 0, range(NOT_COUNTED + steps))
        self.module = SupernetTraining(
            build_supernet(self.space), self.space, self.recipe, phase, len(data.classes), 0, 100
        )

    def loader(self, workers: int) -> DataLoader[Any]:
        return batches(self.images, self.order, workers, pin=False)

    def timed(self, loader: DataLoader[Any]) -> Clock:
        clock = Clock()
        trainer = L.Trainer(accelerator="cpu", max_epochs=1, barebones=True, callbacks=[clock])
        trainer.fit(self.module, loader)
        return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder of class folders, or of train/ and val/")
    for name, default in (
        ("steps", 40),
        ("repeats", 3),
        ("batch", 64),
        ("workers", 1),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    training = Training(options.root, options.batch, options.steps)
    start = time.process_time()
    ready: list[tuple[Tensor, Tensor]] = list(training.loader(0))  # type: ignore[arg-type]
    decoding = (time.process_time() - start) / len(ready)
    memory = DataLoader(ready, batch_size=None)
    ratios = []
    for _ in range(options.repeats):
        read = training.timed(training.loader(options.workers))
        held = training.timed(memory)
        both = [statistics.mean(clock.seconds[NOT_COUNTED:]) for clock in (read, held)]
        ratios.append(both[0] / both[1])
        print(f"a step: {both[0]:.3f} s from files, {both[1]:.3f} s from memory: {ratios[-1]:.2f}x")
    print(f"ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    cpu = [statistics.mean(clock.cpu[NOT_COUNTED:]) for clock in (read, held)]
    print(f"CPU time of a step: {cpu[0]:.3f} s from files, {cpu[1]:.3f} s from memory")
    print(f"CPU time to decode a batch, in a process of its own: {decoding:.3f} s")
    print(f"processes that wanted a core, of {os.cpu_count()}: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
