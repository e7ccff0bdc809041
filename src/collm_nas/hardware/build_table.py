"""Measure the blocks of a space on this machine, and how well their sum predicts a network.

    python -m collm_nas.hardware.build_table table.json --space shufflenet

The file then serves `hardware=latency_table hardware.table=table.json`. The blocks of a network are
timed in turn with the whole of it, and what the whole takes longer than its blocks, such as the
stem and the classifier, is its fixed part.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor, nn

from collm_nas.config.run import UserError
from collm_nas.config.space import named_space
from collm_nas.core.architecture import Architecture
from collm_nas.core.files import write_atomically
from collm_nas.hardware import engine
from collm_nas.hardware.latency_table import LatencyTable, covering
from collm_nas.hardware.timing import Repetitions, time_calls
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import Supernet


def measure_blocks(space: SearchSpace, repetitions: Repetitions, device: str) -> dict[str, Any]:
    """Return the medians in milliseconds: `blocks` by name, `fixed` by resolution."""
    supernet = engine.fresh_supernet(space)
    blocks: defaultdict[str, list[float]] = defaultdict(list)
    rests: defaultdict[str, list[float]] = defaultdict(list)
    for arch in covering(space):
        whole, *parts = _time_parts(space, supernet, arch, repetitions, device)
        for name, ms in zip(space.block_names(arch), parts, strict=True):
            blocks[name].append(ms)
        rests[str(space.resolution(arch))].append(whole - sum(parts))
    return {
        "blocks": {name: median(found) for name, found in blocks.items()},
        "fixed": {side: median(found) for side, found in rests.items()},
    }


def errors(
    model: LatencyTable, networks: int, repetitions: Repetitions, device: str
) -> dict[str, float]:
    """Compare the sums with random whole networks: MAPE in percent and Spearman's rho."""
    from scipy.stats import spearmanr

    rng, supernet = random.Random("errors"), engine.fresh_supernet(model.space)
    archs = [model.space.sample(rng) for _ in range(networks)]
    predicted = [model.latency_ms(arch) for arch in archs]
    calls = [_whole(model.space, supernet, arch, device) for arch in archs]
    found = [timing.median_ms for timing in time_calls(calls, repetitions)]
    misses = (abs(t - f) / f for t, f in zip(predicted, found, strict=True))
    rho = float(spearmanr(predicted, found).statistic)
    return {"mape_percent": 100 * fmean(misses), "spearman": rho, "networks": networks}


def _whole(space: SearchSpace, supernet: Supernet, arch: Architecture, device: str) -> engine.Call:
    side = space.resolution(arch)
    return engine.torch_call(engine.deployed(supernet, arch), torch.zeros(1, 3, side, side), device)


def _time_parts(
    space: SearchSpace,
    supernet: Supernet,
    arch: Architecture,
    repetitions: Repetitions,
    device: str,
) -> list[float]:
    """Time the network and each of its blocks, in turn."""
    side = space.resolution(arch)
    subnet, images = engine.deployed(supernet, arch), torch.zeros(1, 3, side, side)
    whole = engine.torch_call(subnet, images, device)
    modules = supernet.blocks_of(subnet)
    inputs = _inputs(subnet, modules, images.to(device))
    calls = [engine.torch_call(m, x, device) for m, x in zip(modules, inputs, strict=True)]
    return [timing.median_ms for timing in time_calls([whole, *calls], repetitions)]


@torch.inference_mode()
def _inputs(subnet: nn.Module, modules: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """Return what enters each of `modules`, in its memory layout."""
    found: list[Tensor] = []
    hooks = [m.register_forward_pre_hook(lambda _, x: found.append(x[0].clone())) for m in modules]
    subnet(images)
    for hook in hooks:
        hook.remove()
    return found


def main() -> None:
    """Build the table, print its errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", type=Path, help="the file to write")
    usage = "an option of searchspace, then key=value …"
    parser.add_argument("--space", nargs="+", required=True, help=usage)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--networks", type=int, default=20, help="to compare with")
    args = parser.parse_args()
    option, *settings = args.space
    try:
        space = named_space(option, settings)
    except UserError as error:
        parser.error(str(error))
    repetitions = Repetitions(warmup=2, repeats=args.repeats, minimum_ms=2)
    with engine.threads(args.cores):
        table = measure_blocks(space, repetitions, args.device)
        what = {"space": space.identity, "machine": engine.describe(args.device, "torch")}
        content = {**what, "cores": args.cores, "batch": 1, **table}
        write_atomically(args.table, json.dumps(content, indent=1))
        found = errors(
            LatencyTable(space, str(args.table)), args.networks, repetitions, args.device
        )
    write_atomically(args.table, json.dumps({**content, "errors": found}, indent=1))
    print(f"{args.table}: {len(table['blocks'])} blocks of {space.identity}")
    print(", ".join(f"{name} {value:.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
