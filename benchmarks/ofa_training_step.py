"""How fast a step of once-for-all training is, against the original package's.

A step of the phase that makes widths elastic (conf/recipe/ofa.yaml): the full network teaches two
random subnets of the supernet of width 1.0, 16 images of 128 pixels. Ours is all that Lightning
does for a step; after each, the original takes its own with the same images and subnets, so that
a busy machine slows both alike. Both start from the same weights, and their losses have to agree
throughout; the learning rate is small, or roundings would grow. What counts is the median over
steps of the ratio of their times, of the clock and of the CPU; the target is 1.2.
`pip install ofa --no-deps`, then `PYTHONPATH=src python benchmarks/ofa_training_step.py`; where
other processes want the cores, with OMP_WAIT_POLICY=passive, or threads wait for each other.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra import compose, initialize_config_dir
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.utils import build_optimizer, cross_entropy_loss_with_soft_target
from ofa.utils import cross_entropy_with_label_smoothing as smoothed
from torch import Tensor
from torch.utils.data import DataLoader

from collm_nas.recipe.anchors import largest
from collm_nas.recipe.base import Phase, Recipe
from collm_nas.recipe.training import SupernetTraining, Teacher
from collm_nas.run import build
from collm_nas.searchspace.mobilenet import MobileNet
from collm_nas.supernet.ofa import OFASupernet

ROOT = Path(__file__).parents[1]
SMOOTHING, MOMENTUM, DECAY = 0.1, 0.9, 3e-5  # of the original's script
NOT_DECAYED = ["bn", "bias"]
STEPS_PER_EPOCH = 1000
WARM_UP = 2

Times = tuple[float, float]  # seconds of the clock and of the CPU


def now() -> Times:
    return time.perf_counter(), time.process_time()


def since(start: Times) -> Times:
    clock, cpu = now()
    return clock - start[0], cpu - start[1]


class Original:
    """The step of the package's `train_one_epoch`, without its GPU calls and accuracy."""

    def __init__(self, supernet: OFASupernet) -> None:
        self.space = supernet.space
        self.net = self._network(supernet, [3, 5, 7], [3, 4, 6], [2, 3, 4])
        self.teacher = self._network(supernet, 7, 6, 4)
        groups = [
            list(self.net.get_parameters(NOT_DECAYED, mode=mode)) for mode in ("exclude", "include")
        ]
        settings = {"momentum": MOMENTUM, "nesterov": True}
        self.optimizer = build_optimizer(groups, "sgd", settings, 0.0, DECAY, "bn#bias")

    def _network(self, supernet: OFASupernet, kernels: Any, expansions: Any, depths: Any) -> Any:
        net: Any = OFAMobileNetV3(
            dropout_rate=0.0,
            width_mult=supernet.space.skeleton.width,
            ks_list=kernels,
            expand_ratio_list=expansions,
            depth_list=depths,
        )
        names = net.state_dict()
        net.load_state_dict({n: t for n, t in supernet.state_dict().items() if n in names})
        return net.train()

    def step(self, images: Tensor, labels: Tensor, subnets: Any, lr: float) -> Tensor:
        """Update the weights; return the subnets' losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with torch.no_grad():
            soft_labels = self.teacher(images).softmax(1)
        self.net.zero_grad(set_to_none=False)  # as it was when the package was written
        losses = []
        for arch in subnets:
            genes = self.space.full_genes(arch, random.Random(0))
            self.net.set_active_subnet(ks=genes["ks"], e=genes["e"], d=genes["d"])
            logits = self.net(images)
            loss = cross_entropy_loss_with_soft_target(logits, soft_labels)
            loss = loss + smoothed(logits, labels, SMOOTHING)
            losses.append(loss.detach())
            loss.backward()
        self.optimizer.step()
        return torch.stack(losses)


class TakingTurns(L.Callback):
    """Times each of our steps, and the original's after it; compares their losses."""

    def __init__(self, original: Original) -> None:
        self.original = original
        self.ours: list[Times] = []
        self.theirs: list[Times] = []
        self.worst = 0.0
        self._start = now()

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """See `Callback`."""
        self._start = now()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """See `Callback`."""
        self.ours.append(since(self._start))
        images = pl_module.pixels.apply(batch[0].permute(0, 3, 1, 2)).contiguous()
        start = now()
        losses = self.original.step(images, batch[1], outputs["subnets"], outputs["lr"])
        self.theirs.append(since(start))
        error = float((losses / outputs["losses"] - 1).abs().max())
        assert error < 1e-4, f"losses of step {batch_idx}: {outputs['losses']}, original {losses}"
        self.worst = max(self.worst, error)
        self._start = now()


def training(supernet: OFASupernet, batch: int, subnets: int) -> SupernetTraining:
    overrides = [
        "recipe=ofa",
        f"recipe.batch_size={batch}",
        f"recipe.phases.5.sampling.subnets={subnets}",
        "recipe.phases.5.lr=1e-5",
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        recipe: Recipe = build(compose("train_supernet", overrides).recipe)
    phase: Phase = recipe.phases[5]
    space = supernet.space
    teacher = Teacher(deepcopy(supernet), largest(space, {}))
    return SupernetTraining(
        supernet, space, recipe, phase, 1000, 0, STEPS_PER_EPOCH, teacher=teacher
    )


def random_batches(count: int, batch: int, side: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, side, side, 3)
    return [
        (
            torch.randint(256, shape, dtype=torch.uint8, generator=generator),
            torch.randint(1000, (batch,), generator=generator),
        )
        for _ in range(count)
    ]


def print_times(name: str, ours: list[float], theirs: list[float]) -> None:
    speeds = [their / our for our, their in zip(ours, theirs, strict=True)]
    for what, values in (("a step, s", ours), ("original, s", theirs), ("speed", speeds)):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:6} {what:12} median {middle:.2f}, {low:.2f} to {high:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("steps", 15),
        ("subnets", 2),
        ("threads", 2),
        ("batch", 16),
        ("resolution", 128),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    supernet = OFASupernet(MobileNet(width=1.0))
    supernet.classifier.dropout.p = 0.0  # losses could not be compared
    turns = TakingTurns(Original(supernet))
    module = training(supernet, options.batch, options.subnets)
    steps = random_batches(WARM_UP + options.steps, options.batch, options.resolution)
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, barebones=True, callbacks=[turns])
    trainer.fit(module, DataLoader(steps, batch_size=None))
    for i, name in enumerate(("clock", "CPU")):
        ours, theirs = ([t[i] for t in times[WARM_UP:]] for times in (turns.ours, turns.theirs))
        print_times(name, ours, theirs)
    print(f"losses differ by {turns.worst:.1e} at most, over {len(steps)} steps of training")
    print(f"processes that wanted a core, of {os.cpu_count()}: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
