"""`mode=inherit`: the sealed test accuracy with inherited weights, and controls beside it.

A number alone says little: the same weights and images also measure what others published, and
the ends of the space. The seeds draw the images that calibrate the batch norms, so that their
spread is that of calibration, not of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from collm_nas.cli.evaluate.subnet_evaluator import SubnetEvaluator
from collm_nas.cli.evaluate.target import Target
from collm_nas.core.architecture import Architecture
from collm_nas.core.printable import say
from collm_nas.core.problem import amount
from collm_nas.evaluator.protocol import METRICS
from collm_nas.hardware.timing import Repetitions, time_calls
from collm_nas.report.evaluations import keep
from collm_nas.report.uncertainty import LEVEL, distinguishable, near_chance, written
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.reference_subnets import largest, smallest

REPETITIONS = Repetitions(warmup=3, repeats=15, minimum_ms=1)  # of an image, for its latency


@dataclass(frozen=True)
class SubnetAccuracy:
    """One architecture: accuracies in percent as means over the seeds, and what it costs."""

    label: str
    architecture: Any
    metrics: Mapping[str, float]
    spread: Mapping[str, float]  # standard deviations over the seeds; empty for one seed
    costs: Mapping[str, float]
    latency_ms: float  # of one image on one CPU thread here, median


def evaluate_inherited(
    target: Target, evaluator: SubnetEvaluator, seeds: Sequence[int], controls: bool
) -> list[SubnetAccuracy]:
    """Measure, print and store the architecture and, if `controls`, what it is compared with."""
    archs = {target.label: target.arch}
    if controls:
        archs |= controls_of(target.space)
    rows = [row(label, arch, target.space, evaluator, seeds) for label, arch in archs.items()]
    meaning, classes = explain(evaluator, seeds), len(evaluator.data.classes)
    images = len(evaluator.data.split("test"))
    if caution := near_chance((r.metrics["test_accuracy"] for r in rows), images, classes):
        meaning.append(f"WARNING: {caution}.")
    print_rows(rows, evaluator)
    say(*meaning, *indistinct(rows, evaluator.counted("test")))
    entry = {
        "mode": "inherit",
        **asdict(rows[0]),
        "images": {f"{METRICS[s]}_accuracy": evaluator.counted(s) for s in evaluator.splits},
        "controls": [asdict(r) for r in rows[1:]],
        "seeds": list(seeds),
        "meaning": meaning,
        **evaluator.describe(),
    }
    say(f"written to {keep(target.directory, entry)}")
    return rows


def controls_of(space: SearchSpace) -> dict[str, Architecture]:
    """Return the published architectures of `space`, its smallest and its largest."""
    ends = {"smallest": smallest(space, {}), "largest": largest(space, {})}
    return {**space.published_within(), **ends}


def row(
    label: str,
    arch: Architecture,
    space: SearchSpace,
    evaluator: SubnetEvaluator,
    seeds: Sequence[int],
) -> SubnetAccuracy:
    """Measure one architecture on both splits, once for each seed."""
    runs = [
        {
            k: v
            for s in evaluator.splits
            for k, v in evaluator.accuracy(arch, s, bn_seed=seed).items()
        }
        for seed in (seeds if evaluator.measurement.calibrates else seeds[:1])
    ]
    means = {name: statistics.fmean(run[name] for run in runs) for name in runs[0]}
    several = len(runs) > 1
    spread = {n: statistics.stdev(run[n] for run in runs) for n in means} if several else {}
    subnet, side = evaluator.subnet(arch).cpu(), space.resolution(arch)
    images = torch.zeros(1, 3, side, side)
    torch.set_num_threads(1)
    with torch.inference_mode():
        (timing,) = time_calls([lambda: subnet(images)], REPETITIONS)
    costs = space.costs(arch)
    return SubnetAccuracy(label, space.encode(arch), means, spread, costs, timing.median_ms)


def explain(evaluator: SubnetEvaluator, seeds: Sequence[int]) -> list[str]:
    """Say what the numbers mean, in sentences."""
    protocol, name = evaluator.protocol, evaluator.measurement.name
    test, ranking = (len(evaluator.data.split(split)) for split in evaluator.splits)
    lines = [
        f"Top-1 in percent with weights inherited from {evaluator.measurement.weights.path}, not "
        f"trained further; protocol {name}.",
        f"test: all {test:,} images"
        + (", which no search has seen." if evaluator.held_out else "."),
        f"{evaluator.validation}: {ranking:,} images.",
        f"In brackets: {LEVEL}% intervals (Wilson), as if these images were drawn at random.",
    ]
    if not evaluator.held_out:
        lines[1] += " CAUTION: this protocol ranks candidates by images of test: not held out."
    if evaluator.measurement.calibrates:
        spread = f", {len(seeds)} draws of them (± is their spread)" if len(seeds) > 1 else ""
        images = evaluator.measurement.images.calibrated_with
        few = f" ({protocol.bn_images:,} asked for)" if images < protocol.bn_images else ""
        lines.append(
            f"Batch norms calibrated with {images:,} images of {protocol.bn_split}{few}{spread}."
        )
    elif len(seeds) > 1:
        lines.append("No batch norms to calibrate: all seeds are the same.")
    lines += [f"CAUTION: {caution}." for caution in evaluator.on(evaluator.validation).cautions]
    return [*lines, "Latency: median of one image on one CPU thread of this machine."]


def indistinct(rows: Sequence[SubnetAccuracy], images: int) -> list[str]:
    """Name the rows that so many test images cannot tell apart from the first, in a sentence."""
    first, *others = ((row.label, row.metrics["test_accuracy"]) for row in rows)
    same = [label for label, accuracy in others if not distinguishable(first[1], accuracy, images)]
    if not same:
        return []
    names = ", ".join([first[0], *same])
    return [f"These {len(same) + 1} cannot be told apart by {images:,} test images: {names}."]


def print_rows(rows: Sequence[SubnetAccuracy], evaluator: SubnetEvaluator) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Inherited weights", title_justify="left")
    for column in ("", "test", "top-5", "val", "params", "MACs", "ms"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for r in rows:
        table.add_row(
            r.label,
            _accuracy(r, "test_accuracy", evaluator.counted("test")),
            _accuracy(r, "test_top5"),
            _accuracy(r, "val_accuracy", evaluator.counted(evaluator.validation)),
            amount(r.costs["params"]),
            amount(r.costs["macs"]),
            f"{r.latency_ms:.1f}",
        )
    Console(markup=False, width=120).print(table)


def _accuracy(r: SubnetAccuracy, metric: str, images: int | None = None) -> str:
    spread = f" ± {r.spread[metric]:.2f}" if metric in r.spread else ""
    return written(r.metrics[metric], images, spread)
