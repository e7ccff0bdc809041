"""How fast subnets with inherited weights are evaluated, against the way of the original package.

The original way, written with the `ofa` package and torchvision as its tutorial does: choose the
active subnet, take it out, calibrate its batch norms with a fresh data loader, validate it with
another; both decode and resize every image again. Ours is `SupernetEvaluator` with one process.
Both have the same random weights of width 1.0 (ten classes), the same photographs and as many
threads; they take turns, so that a busy machine slows them alike. The targets: 3 times as many
subnets an hour with the first one, which decodes the images, and 5 times as many from the second.
`pip install ofa --no-deps`, then
`PYTHONPATH=src python benchmarks/supernet_evaluation.py IMAGENETTE`, a folder with train/ and val/.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from collm_nas.core.architecture import Architecture
from collm_nas.data.base import ImageData, Split, SplitName
from collm_nas.data.pixels import FORMATS
from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.evaluator.images import drawn, evenly
from collm_nas.evaluator.inherit import BATCH, measure
from collm_nas.evaluator.supernet import SupernetEvaluator
from collm_nas.spaces.checkpoint import load_supernet, save_supernet
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.supernet import Supernet, build_supernet

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FOLDERS: dict[SplitName, str] = {"train_fit": "train", "search_val": "val"}


class Photographs(ImageData):
    """The class folders below train/ and val/."""

    crop_ratio = 0.875

    def __init__(self, root: Path) -> None:
        self.folders = {n: datasets.ImageFolder(str(root / f)) for n, f in FOLDERS.items()}
        self.classes = tuple(self.folders["search_val"].classes)

    def split(self, name: SplitName) -> Split:
        files = self.folders[name].samples
        labels = tuple(label for _, label in files)
        return Split(name, labels, str(len(files)), partial(read, [path for path, _ in files]))


def read(paths: Sequence[str], position: int) -> Image.Image:
    return Image.open(paths[position]).convert("RGB")


class Original:
    """As the tutorial of once-for-all evaluates a subnet."""

    def __init__(self, supernet: Supernet, data: Photographs, options: argparse.Namespace) -> None:
        self.options = options
        self.net: Any = OFAMobileNetV3(
            n_classes=len(data.classes),
            width_mult=1.0,
            ks_list=[3, 5, 7],
            expand_ratio_list=[3, 4, 6],
            depth_list=[2, 3, 4],
        )
        self.net.load_state_dict(supernet.state_dict())
        side = options.resolution
        transform = transforms.Compose(
            [
                transforms.Resize(math.ceil(side / 0.875)),
                transforms.CenterCrop(side),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        for folder in data.folders.values():
            folder.transform = transform
        ranking, calibration = data.folders["search_val"], data.folders["train_fit"]
        self.ranking = Subset(ranking, evenly(ranking.targets, options.images))
        self.calibration = Subset(calibration, drawn(len(calibration), options.bn_images))

    def loader(self, images: Dataset[Any], batch: int) -> DataLoader[Any]:
        return DataLoader(images, batch_size=batch, num_workers=self.options.threads)

    def active_subnet(self, arch: Architecture) -> nn.Module:
        genes = MobileNet(1.0).full_genes(arch, random.Random(0))
        self.net.set_active_subnet(ks=genes["ks"], e=genes["e"], d=genes["d"])
        subnet: nn.Module = self.net.get_active_subnet(preserve_weight=True)
        return subnet

    def subnet(self, arch: Architecture) -> nn.Module:
        subnet = self.active_subnet(arch)
        set_running_statistics(subnet, self.loader(self.calibration, 200))
        return subnet.eval()

    @torch.no_grad()
    def logits(self, subnet: nn.Module) -> tuple[Tensor, Tensor]:
        found = [(subnet(x), labels) for x, labels in self.loader(self.ranking, 200)]
        logits, labels = (torch.cat(part) for part in zip(*found, strict=True))
        return logits, labels

    def evaluate(self, arch: Architecture) -> float:
        logits, labels = self.logits(self.subnet(arch))
        return 100 * int((logits.argmax(1) == labels).sum()) / len(labels)


def accuracy_of(ours: SupernetEvaluator, arch: Architecture) -> float:
    return ours.evaluate(arch)["val_accuracy"]


def cpu_seconds() -> float:
    """Return what this process, its children, and those that it waited for have computed."""
    spent = sum(os.times()[:4])
    for child in multiprocessing.active_children():
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        spent += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare_outputs(ours: SupernetEvaluator, original: Original, arch: Architecture) -> None:
    """Print how far pixels differ, and logits in double precision: random weights amplify noise."""
    weights, images = ours.measurement.weights, ours.measurement.images
    side, pixels = weights.space.resolution(arch), FORMATS[weights.pixels]
    x, x_bn = (
        next(some.batches(40, pixels, torch.device("cpu")))[0]
        for some in (images.ranking(side), images.calibration(side))
    )
    their_x, _ = next(iter(original.loader(original.ranking, 40)))
    subnet = load_supernet(weights.path, weights.space).eval().extract(arch).double()
    recalibrate(subnet, [x_bn.double()])
    fold_batch_norms(subnet)
    theirs = original.active_subnet(arch).double()
    set_running_statistics(theirs, [(x_bn.double(), None)])
    with torch.no_grad():
        logits, expected = subnet(x.double()), theirs.eval()(x.double())
    same = (logits.argmax(1) == expected.argmax(1)).double().mean()
    print(
        f"{len(x)} images: pixels differ by {(x - their_x).abs().max():.1e} at most; in double "
        f"precision {same:.1%} of the predictions are the same, and logits up to "
        f"{expected.abs().max():.2f} differ by {(logits - expected).abs().max():.1e} at most"
    )


def print_stages(ours: SupernetEvaluator, arch: Architecture, threads: int) -> None:
    weights, images = ours.measurement.weights, ours.measurement.images
    supernet = load_supernet(weights.path, weights.space).eval()
    side, pixels = weights.space.resolution(arch), FORMATS[weights.pixels]
    calibration, ranking = images.calibration(side), images.ranking(side)
    ours.measurement.start(threads)  # as in the worker
    cpu = torch.device("cpu")
    batches = (x for x, _ in calibration.batches(images.protocol.bn_batch, pixels, cpu))
    subnet: list[nn.Module] = []
    stages = {
        "extract": lambda: subnet.append(supernet.extract(arch).eval()),
        "calibrate": lambda: recalibrate(subnet[0], batches, "exact", threads),
        "fold": lambda: fold_batch_norms(subnet[0]),
        "convert pixels (also part of the next)": lambda: list(
            ranking.batches(BATCH["cpu"], pixels, cpu)
        ),
        "measure": lambda: measure(subnet[0], ranking, pixels, threads=threads),
    }
    print("stages, in seconds: ", end="")
    print(", ".join(f"{name} {seconds(stage):.2f}" for name, stage in stages.items()))


Times = dict[str, list[float]]


def print_speeds(what: str, times: Times) -> None:
    original, ours = times["original"], times["ours"]
    ratios = sorted(a / b for a, b in zip(original[1:], ours[1:], strict=True))
    print(f"{what:12} {'first':>7} {'median of the others':>22} {'from':>7} {'to':>7}")
    for name, (first, *others) in times.items():
        median = statistics.median(others)
        print(f"{name:12} {first:7.2f} {median:22.2f} {min(others):7.2f} {max(others):7.2f}")
    print(
        f"speed with the first: {sum(original) / sum(ours):.2f}x; the first alone "
        f"{original[0] / ours[0]:.2f}x; from the second on: median "
        f"{statistics.median(ratios):.2f}x, {ratios[0]:.2f}x ... {ratios[-1]:.2f}x"
    )


def take_turns(
    ours: SupernetEvaluator, original: Original, archs: Sequence[Architecture], threads: int
) -> tuple[Times, Times]:
    """Return wall and CPU seconds of every evaluation; check that both count the same."""
    wall: Times = {"original": [], "ours": []}
    cpu: Times = {"original": [], "ours": []}
    for index, arch in enumerate(archs):
        torch.set_num_threads(threads)
        ways = {
            "original": partial(original.evaluate, arch),
            "ours": partial(accuracy_of, ours, arch),
        }
        found = {}
        for name in sorted(ways, reverse=bool(index % 2)):
            start, spent = time.perf_counter(), cpu_seconds()
            found[name] = ways[name]()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(cpu_seconds() - spent)
        print(
            ", ".join(f"{n}: {v:.2f}% in {wall[n][-1]:.1f} s" for n, v in found.items()), flush=True
        )
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    for name, default in (
        ("architectures", 7),
        ("threads", 2),
        ("resolution", 160),
        ("images", 1000),
        ("bn-images", 500),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    space = MobileNet(1.0, [options.resolution], num_classes=10)
    torch.manual_seed(0)
    supernet = build_supernet(space).eval()
    original = Original(supernet, Photographs(options.root), options)
    rng = random.Random(0)
    archs = [space.sample(rng) for _ in range(options.architectures)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COLLM_CACHE"] = folder
        path = Path(folder, "supernet.safetensors")
        save_supernet(path, supernet, space)
        changes = {"images": options.images, "bn_images": options.bn_images, "bn_view": "centre"}
        data = partial(Photographs, options.root)
        ours = SupernetEvaluator(space, str(path), data, "clean", changes, "cpu", workers=1)
        wall, cpu = take_turns(ours, original, archs, options.threads)
        print_speeds("seconds", wall)
        print_speeds("CPU seconds", cpu)
        compare_outputs(ours, original, archs[0])
        print_stages(ours, archs[0], options.threads)


if __name__ == "__main__":
    main()
