"""A supernet in memory, and its subnets measured on any split under one protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from collm_nas.config.run import UserError, build
from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import Metrics
from collm_nas.data.base import ImageData, SplitName
from collm_nas.data.pixels import PixelFormat, pixel_format
from collm_nas.data.view import View
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.inherit import calibrated_subnet, inherited_accuracy
from collm_nas.evaluator.protocol import METRICS, Protocol
from collm_nas.evaluator.supernet import Measurement, SupernetEvaluator, seen_in_training
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import load_supernet
from collm_nas.spaces.supernet import Supernet


@dataclass(frozen=True)
class SubnetEvaluator:
    """Where subnets are measured. What any search has measured in the same way is looked up."""

    measurement: Measurement
    data: ImageData

    @cached_property
    def supernet(self) -> Supernet:
        """The weights, in evaluation mode, on the device."""
        weights = self.measurement.weights
        return load_supernet(weights.path, weights.space).eval().to(self.measurement.device)

    @property
    def protocol(self) -> Protocol:
        """What accuracies mean."""
        return self.measurement.images.protocol

    @property
    def pixels(self) -> PixelFormat:
        """How the weights want their images."""
        return pixel_format(self.measurement.weights.pixels)

    @property
    def validation(self) -> SplitName:
        """Name the split of the validation accuracy: that of the ranking, or `search_val`."""
        ranking = self.protocol.ranking
        return ranking if METRICS[ranking] == "val" else "search_val"

    @property
    def splits(self) -> tuple[SplitName, SplitName]:
        """Name the splits that architectures are reported on."""
        return "test", self.validation

    @property
    def held_out(self) -> bool:
        """Tell whether `test` is held out: not what candidates were ranked by."""
        return self.protocol.ranking != "test"

    def on(self, split: SplitName, **changes: Any) -> Measurement:
        """Return the measurement on another split, all of it if it is not that of the ranking."""
        count = self.protocol.images if split == self.protocol.ranking else None
        protocol = replace(self.protocol, ranking=split, images=count, **changes)
        m = self.measurement
        view = m.weights.training_view
        images = ProtocolImages.of(protocol, self.data, m.images.cache, self.pixels, view)
        return replace(m, images=images, seen=seen_in_training(m.weights, images, self.data))

    def counted(self, split: SplitName) -> int:
        """Return the number of images that accuracies on `split` are counted on."""
        return self.on(split).images.ranked_by

    def accuracy(self, arch: Architecture, split: SplitName, **changes: Any) -> Metrics:
        """Return e.g. `{"test_accuracy": 71.2, "test_top5": 90.1}`, in percent."""
        how = self.on(split, **changes)
        shared, size = how.shared_results(), self._size(arch)
        if (known := shared.find(arch, size)) is not None:
            return known
        threads = _one_thread_each()
        found = inherited_accuracy(self.supernet, arch, size, how.images, threads)
        shared.store(arch, size, found)
        return found

    def subnet(self, arch: Architecture) -> nn.Module:
        """Return `arch` with inherited weights: batch norms calibrated and folded."""
        images, threads = self.measurement.images, _one_thread_each()
        return calibrated_subnet(self.supernet, arch, self._size(arch), images, threads)

    def view(self, arch: Architecture) -> View:
        """Return how evaluation looks at images for `arch`."""
        return self.measurement.images.view(self._size(arch))

    def describe(self) -> Mapping[str, Any]:
        """Name everything that accuracies of this evaluator depend on."""
        weights = self.measurement.weights
        images, protocol = self.measurement.images, vars(self.protocol)
        return {
            "protocol": self.measurement.name,
            "protocol_settings": {k: v for k, v in protocol.items() if k not in ("name", "pixels")},
            "ranked_by": images.ranked_by,
            "calibrated_with": images.calibrated_with if self.measurement.calibrates else 0,
            "calibration_view": asdict(images.bn_view) if images.bn_view else "centre",
            "cautions": list(self.measurement.cautions),
            "supernet": str(weights.path),
            "supernet_sha256": weights.sha256,
            "pixels": weights.pixels,
        }

    def _size(self, arch: Architecture) -> int:
        return self.measurement.weights.space.resolution(arch)


def build_subnet_evaluator(
    cfg: DictConfig, space: SearchSpace, supernet: str | None = None
) -> SubnetEvaluator:
    """Load weights and find images, as `cfg.evaluator`, `cfg.supernet` and `cfg.data` say.

    Args:
        supernet: a file of weights, instead of `cfg.supernet`.

    Raises:
        ValueError: something is missing or does not fit; the message says all that is wrong.
        UserError: the evaluator is none that measures with inherited weights.
    """
    if not space.supernet:
        raise UserError(f"the search space {space.name} has no supernet; mode=table reads a table")
    node = cfg.evaluator.copy()
    if supernet:
        node.supernet = supernet
    evaluator = build(node, space=space)
    if not isinstance(evaluator, SupernetEvaluator):
        raise UserError(
            f"evaluator: {cfg.evaluator._target_} does not measure subnets with the weights they "
            "inherit; choose evaluator=supernet"
        )
    return SubnetEvaluator(evaluator.measurement, build(cfg.data))


def _one_thread_each() -> int:
    """Return how many batches are computed at a time, each by one thread; see `in_order`."""
    torch.set_num_threads(1)
    return len(os.sched_getaffinity(0))
