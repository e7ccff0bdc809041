"""`mode=supernet_report`: how far the accuracies of a supernet can be trusted.

Subnets from the cheapest to the most expensive are measured with inherited weights, and by an
evaluator that knows them trained on their own. Each result is on disk before the next is asked for.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collm_nas.cli.evaluate.subnet_evaluator import SubnetEvaluator
from collm_nas.core.architecture import Architecture
from collm_nas.core.files import write_atomically
from collm_nas.core.printable import say
from collm_nas.core.problem import Evaluator
from collm_nas.evaluator.cache import CachedEvaluator
from collm_nas.report.rank_correlation import (
    Agreement,
    Calibration,
    RankCorrelationReport,
    agreement,
    draw,
    tau,
)
from collm_nas.report.uncertainty import LEVEL, near_chance
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.reference_subnets import largest, smallest

POOL = 2000  # random subnets that the report's are chosen from
LEAST = 3


def supernet_report(
    evaluator: SubnetEvaluator,
    stand_alone: Evaluator | None,
    subnets: int,
    calibration_images: Sequence[int],
    seed: int,
    directory: Path,
) -> RankCorrelationReport:
    """Measure, print, draw and store the report.

    Args:
        stand_alone: gives accuracies of subnets trained on their own; `None` leaves them out.
        subnets: how many.
        calibration_images: numbers to try; those beyond the split of the protocol are left out.
        seed: draws the subnets.

    Raises:
        ValueError: there would be too few subnets.
    """
    if subnets < LEAST:
        raise ValueError(f"report.subnets must be at least {LEAST}, got {subnets}")
    space = evaluator.measurement.weights.space
    archs = spread(space, subnets, seed)
    directory.mkdir(parents=True, exist_ok=True)
    macs = [space.costs(arch)["macs"] for arch in archs]
    inherited = [_accuracy(evaluator, arch) for arch in archs]
    alone: list[float] = []
    if stand_alone is not None:
        own = CachedEvaluator(stand_alone, directory / "stand_alone.jsonl")
        alone = [own.evaluate(arch)[own.objective] for arch in archs]
    report = RankCorrelationReport(
        tuple(macs),
        tuple(inherited),
        tuple(alone),
        tuple(_calibrations(evaluator, archs, calibration_images)),
        agreement(inherited, alone, seed) if alone else None,
        agreement(inherited, macs, seed),
        evaluator.counted(evaluator.validation),
    )
    _write(report, evaluator, archs, directory)
    return report


def spread(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Choose `count` subnets at even steps of cost, from the smallest to the largest one.

    Each is the one of a random sample that is nearest to its step and not chosen yet.
    """
    rng = random.Random(f"supernet report/{seed}")
    drawn = {space.sample(rng): None for _ in range(POOL)}
    pool = {arch: space.costs(arch)["macs"] for arch in [smallest(space, {}), *drawn]}
    top = largest(space, {})
    pool[top] = space.costs(top)["macs"]
    low, high = min(pool.values()), max(pool.values())
    chosen: list[Architecture] = []
    for step in range(min(count, len(pool))):
        wanted = low + (high - low) * step / max(1, count - 1)
        nearest = min(pool, key=lambda arch: abs(pool[arch] - wanted))
        chosen.append(nearest)
        del pool[nearest]
    return chosen


def _accuracy(evaluator: SubnetEvaluator, arch: Architecture, **changes: Any) -> float:
    return evaluator.accuracy(arch, evaluator.validation, **changes)["val_accuracy"]


def _calibrations(
    evaluator: SubnetEvaluator, archs: Sequence[Architecture], counts: Sequence[int]
) -> list[Calibration]:
    """Measure all subnets with each number of calibration images; the largest is the reference."""
    if not evaluator.measurement.calibrates:
        return []
    available = len(evaluator.measurement.images.bn_split)
    columns = {
        count: [_accuracy(evaluator, arch, bn_images=count) for arch in archs]
        for count in sorted({min(count, available) for count in counts})
    }
    reference = columns[max(columns)] if columns else []
    return [
        Calibration(count, statistics.fmean(column), tau(column, reference))
        for count, column in columns.items()
    ]


def _write(
    report: RankCorrelationReport,
    evaluator: SubnetEvaluator,
    archs: Sequence[Architecture],
    directory: Path,
) -> None:
    space = evaluator.measurement.weights.space
    picture = draw(
        report, directory / "supernet_report.png", f"{space.name}: {evaluator.protocol.name}"
    )
    path = directory / "supernet_report.json"
    content = {
        **asdict(report),
        "intervals": report.intervals,
        "architectures": [space.encode(arch) for arch in archs],
        **evaluator.describe(),
    }
    write_atomically(path, json.dumps(content, indent=2))
    _print(report, evaluator)
    say("files:", f"  {path}", f"  {picture}")


def _print(report: RankCorrelationReport, evaluator: SubnetEvaluator) -> None:
    print(
        f"{len(report.inherited)} subnets of {min(report.macs) / 1e6:,.4g} to "
        f"{max(report.macs) / 1e6:,.4g} million multiply-adds; accuracy on {evaluator.validation}, "
        f"{min(report.inherited):.2f} to {max(report.inherited):.2f}%; {evaluator.measurement.name}"
    )
    width = max((high - low) / 2 for low, high in report.intervals)
    print(f"  each is known to ± {width:.1f} points or better ({LEVEL}%, {report.images:,} images)")
    for line in report.cautions():
        print(f"  {line}")
    lines: list[tuple[str, Agreement | str]] = [
        ("trained alone", report.agreement or "not measured (key: stand_alone)"),
        ("cost", report.against_cost),
    ]
    for name, found in lines:
        print(f"  inherited against {name + ':':15} {found}")
    images, classes = (
        evaluator.on(evaluator.validation).images.ranked_by,
        len(evaluator.data.classes),
    )
    if caution := near_chance(report.inherited, images, classes):
        print(f"  WARNING: {caution}.")
    for c in report.calibration:
        print(
            f"  {c.images:6,} calibration images: mean {c.mean_accuracy:.2f}%, tau {c.tau:.2f} "
            "against the most"
        )
