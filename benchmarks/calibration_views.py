"""What the view of the calibration images does to accuracies and to their ranking.

    python train_supernet.py experiment=ofa_small data.root=IMAGENETTE
    python benchmarks/calibration_views.py IMAGENETTE runs/ofa_small/train/supernet.safetensors

Random subnets of a trained supernet are measured on `search_val` after calibration on three views
of the same images: those of the once-for-all tutorial, such without colours and of larger crops (as
recipe=light trains), and centres. The reference is the tutorial's way with other images; it is
measured twice, so that its own noise is known.
"""

from __future__ import annotations

import argparse
import random
import statistics
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture
from collm_nas.data.view import RandomView
from collm_nas.evaluator.supernet import Measurement, SupernetEvaluator
from collm_nas.report.rank_correlation import tau
from collm_nas.spaces.mobilenet.supernet import OFASupernet

CONF = Path(__file__).parents[1] / "conf"
OFA = OFASupernet.training_view


def with_view(measurement: Measurement, view: RandomView | None, seed: int = 0) -> Measurement:
    images = measurement.images
    protocol = replace(images.protocol, bn_seed=seed)
    return replace(measurement, images=replace(images, protocol=protocol, bn_view=view))


def accuracies(measurement: Measurement, archs: list[Architecture], threads: int) -> list[float]:
    evaluate = measurement.start(threads)
    return [evaluate(arch)["val_accuracy"] for arch in archs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("supernet", type=Path)
    parser.add_argument("--experiment", default="ofa_small")
    parser.add_argument("--subnets", type=int, default=48)
    parser.add_argument("--bn-images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = [f"experiment={options.experiment}", f"data.root={options.root}"]
        cfg = compose("search", [*settings, f"evaluator.changes.bn_images={options.bn_images}"])
    space, changes = build(cfg.searchspace), dict(cfg.evaluator.changes)
    weights, data = str(options.supernet), build(cfg.data)
    usual = SupernetEvaluator(space, weights, lambda: data, "clean", changes, "cpu", 1).measurement
    rng = random.Random(0)
    archs = list({space.sample(rng): None for _ in range(options.subnets)})
    reference = accuracies(with_view(usual, OFA, seed=1), archs, options.threads)
    print(
        f"{len(archs)} subnets, {usual.images.ranked_by:,} images, calibrated with "
        f"{usual.images.calibrated_with:,}; reference: {min(reference):.2f} to "
        f"{max(reference):.2f}%, mean {statistics.fmean(reference):.2f}%"
    )
    views = {
        "tutorial, other images": with_view(usual, OFA, seed=2),
        "tutorial": with_view(usual, OFA),
        "35% crops, no colours": with_view(usual, RandomView(scale=0.35)),
        "centre": with_view(usual, None),
    }
    for name, measurement in views.items():
        found = accuracies(measurement, archs, options.threads)
        bias = [a - b for a, b in zip(found, reference, strict=True)]
        print(
            f"{name:23} bias {statistics.fmean(bias):+.2f} points (sd {statistics.stdev(bias):.2f})"
            f", Kendall tau {tau(found, reference):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
