"""How fast once-for-all subnets run, against the active subnet of the original package.

Batch 32 at 160 pixels in evaluation mode, for random architectures of the space of width 1.2. All
ways take turns, so that a busy machine slows them alike; what counts is the median over
architectures of the ratio of median times. The targets: an extracted subnet at least 1.3 times as
fast as the original, the supernet in place at least as fast, an extraction within 50 ms.
`pip install ofa --no-deps`, then `PYTHONPATH=src python benchmarks/subnet_forward.py`.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from collm_nas.core.architecture import Architecture
from collm_nas.evaluator.batchnorm import fold_batch_norms
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet

BASELINE = "ofa package"


def original(supernet: OFASupernet) -> nn.Module:
    net: nn.Module = OFAMobileNetV3(
        width_mult=supernet.space.skeleton.width,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    net.load_state_dict(supernet.state_dict())
    return net.eval()


def ways(
    supernet: OFASupernet, net: Any, arch: Architecture, images: Tensor
) -> dict[str, Callable[[], Tensor]]:
    genes = supernet.space.full_genes(arch, random.Random(0))
    net.set_active_subnet(ks=genes["ks"], e=genes["e"], d=genes["d"])
    subnet = supernet.extract(arch)
    folded = copy.deepcopy(subnet)
    fold_batch_norms(folded)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    return {
        BASELINE: lambda: net(images),
        "ofa package, channels-last images": lambda: net(channels_last),
        "supernet(images, arch)": lambda: supernet(images, arch),
        "extract(arch)(images)": lambda: subnet(images),
        "the same, batch norms folded": lambda: folded(images),
    }


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(calls: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    expected = calls[BASELINE]()
    for name, call in calls.items():  # also warms up
        error = float((call() - expected).abs().max())
        assert error < 1e-4, f"{name} differs by {error}"
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in times.items()}


def print_forward_times(supernet: OFASupernet, options: argparse.Namespace) -> None:
    net, rng = original(supernet), random.Random(0)
    side = options.resolution
    images = torch.randn(options.batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    rows = []
    for _ in range(options.architectures):
        calls = ways(supernet, net, supernet.space.sample(rng), images)
        rows.append(compare(calls, options.repeats))
    print(f"{'median over architectures':36} {'ms':>7} {'speed':>7} {'from':>7} {'to':>7}")
    for name in rows[0]:
        speeds = sorted(row[BASELINE] / row[name] for row in rows)
        ms = 1e3 * statistics.median(row[name] for row in rows)
        speed = statistics.median(speeds)
        print(f"{name:36} {ms:7.0f} {speed:6.2f}x {speeds[0]:6.2f}x {speeds[-1]:6.2f}x")
    for name in (BASELINE, "extract(arch)(images)"):
        print_operators(name, calls[name])


def print_operators(name: str, call: Callable[[], Tensor]) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    events = sorted(profiler.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    shares = [f"{e.key.removeprefix('aten::')} {e.self_cpu_time_total / total:.0%}" for e in events]
    print(f"time of {name}: {', '.join(shares[:7])}")


def print_extraction_time(supernet: OFASupernet, repeats: int) -> None:
    space = supernet.space
    largest = space.build({v.name: [max(v.options)] * v.count for v in space.variables})
    supernet.extract(largest)
    wall, cpu = [], []
    for _ in range(3 * repeats):
        start = time.thread_time()
        wall.append(1e3 * seconds(lambda: supernet.extract(largest)))
        cpu.append(1e3 * (time.thread_time() - start))
    print(
        f"extract(arch), largest network: median {statistics.median(wall):.0f} ms, of which "
        f"{statistics.median(cpu):.0f} ms on the CPU; fastest {min(wall):.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("architectures", 10),
        ("repeats", 5),
        ("threads", 1),
        ("batch", 32),
        ("resolution", 160),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    supernet = OFASupernet(MobileNet()).eval()
    with torch.inference_mode():
        print_forward_times(supernet, options)
        print_extraction_time(supernet, options.repeats)


if __name__ == "__main__":
    main()
