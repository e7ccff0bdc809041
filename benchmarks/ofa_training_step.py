"""How fast a step of a once-for-all width phase is, against the original package doing the same.

Width 1.0, two subnets a step, batch 16 at 128 pixels, knowledge distillation from the full net, SGD
as in the paper's code; the same weights, images and subnets for both, and the same losses (checked,
without dropout). Steps take turns, so that a busy machine slows both alike; what counts is the
median of the ratio of the times of a pair. The target: at least 1.2 times as fast.
`pip install ofa --no-deps`, then `PYTHONPATH=src python benchmarks/ofa_training_step.py`.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.utils import cross_entropy_loss_with_soft_target, cross_entropy_with_label_smoothing
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet
from collm_nas.training.module import SupernetTraining, Teacher
from collm_nas.training.recipe import Phase, Recipe
from collm_nas.training.reference_subnets import largest

CONF = Path(__file__).resolve().parents[1] / "conf"
SPACE = MobileNet(width=1.0)
FULL = {"ks": [7] * 20, "e": [6] * 20, "d": [4] * 5}
Step = Callable[[int], list[float]]


class OurStep(SupernetTraining):
    """The training step without a trainer around it."""

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        return self.sgd

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()


def width_phase(subnets: int) -> tuple[Recipe, Phase]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = ["recipe=ofa", "recipe.micro_batch=null"]  # all images at a time
        recipe: Recipe = build(compose("train_supernet", settings).recipe)
    phase = recipe.phases[-1]
    return recipe, replace(phase, sampling=replace(phase.sampling, subnets=subnets))


def ours(supernet: OFASupernet, batch: tuple[Tensor, Tensor], subnets: int) -> tuple[Step, Any]:
    recipe, phase = width_phase(subnets)
    teacher = Teacher(copy.deepcopy(supernet), largest(SPACE, {}))
    training = OurStep(supernet, SPACE, recipe, phase, 1000, 0, 1000, teacher=teacher)
    training.sgd = recipe.optimizer.build(supernet, 0.01)
    training.train()
    return lambda i: training.training_step(batch, i)["losses"].tolist(), training


def original(weights: OFASupernet, images: Tensor, labels: Tensor, training: Any) -> Step:
    net = OFAMobileNetV3(
        width_mult=1.0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4]
    )
    net.load_state_dict(weights.state_dict())
    without_dropout(net)
    net.set_active_subnet(**FULL)
    teacher = net.get_active_subnet(preserve_weight=True).train()
    keys = ["bn", "bias"]
    groups = [
        {"params": net.get_parameters(keys, mode="exclude"), "weight_decay": 3e-5},
        {"params": net.get_parameters(keys, mode="include"), "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, 0.01, momentum=0.9, nesterov=True)

    def step(i: int) -> list[float]:
        net.train()
        for group in optimizer.param_groups:
            group["lr"] = training.recipe.learning_rate(training.phase, i, 1000)
        optimizer.zero_grad(set_to_none=False)
        with torch.no_grad():
            soft_labels = torch.softmax(teacher(images).detach(), dim=1)
        losses = []
        for arch in training.subnets(i):
            net.set_active_subnet(**genes(arch))
            output = net(images)
            loss = cross_entropy_loss_with_soft_target(output, soft_labels)
            loss = loss + cross_entropy_with_label_smoothing(output, labels, 0.1)
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        return losses

    return step


def genes(arch: Architecture) -> dict[str, Any]:
    full = SPACE.full_genes(arch, random.Random(0))
    return {name: full[name] for name in FULL}


def without_dropout(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def print_operators(name: str, step: Step, i: int) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step(i)
    events = sorted(profiler.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    shares = [f"{e.key.removeprefix('aten::')} {e.self_cpu_time_total / total:.0%}" for e in events]
    print(f"time of {name}: {', '.join(shares[:9])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("steps", 15),
        ("threads", 2),
        ("batch", 16),
        ("resolution", 128),
        ("subnets", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    supernet = OFASupernet(SPACE)
    without_dropout(supernet)
    shape = (options.batch, options.resolution, options.resolution, 3)
    pixels_NHWC = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.randint(0, 1000, (options.batch,))
    reference = copy.deepcopy(supernet)
    our_step, training = ours(supernet, (pixels_NHWC, labels), options.subnets)
    images = training.pixels.apply(pixels_NHWC.permute(0, 3, 1, 2)).contiguous()
    their_step = original(reference, images, labels, training)
    for mine, theirs in zip(our_step(0), their_step(0), strict=True):
        assert abs(mine - theirs) < 1e-3, f"losses differ: {mine} and {theirs}"
    times: dict[str, list[float]] = {"collm-nas": [], "ofa package": []}
    for i in range(1, options.steps + 1):
        for seconds, step in zip(times.values(), (our_step, their_step), strict=True):
            start = time.perf_counter()
            step(i)
            seconds.append(time.perf_counter() - start)
    for name, seconds in times.items():
        speed = options.batch / statistics.median(seconds)
        print(f"{name:12} median {1e3 * statistics.median(seconds):7.0f} ms, {speed:5.1f} images/s")
    ratios = sorted(b / a for a, b in zip(*times.values(), strict=True))
    print(
        f"speed: median {statistics.median(ratios):.2f}x, {ratios[0]:.2f} ... {ratios[-1]:.2f}x, "
        f"fastest against fastest {min(times['ofa package']) / min(times['collm-nas']):.2f}x"
    )
    print_operators("collm-nas", our_step, options.steps + 1)
    print_operators("ofa package", their_step, options.steps + 1)


if __name__ == "__main__":
    main()
