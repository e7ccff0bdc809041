"""The images that a protocol measures with, as a network sees them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from collm_nas.data.base import ImageData, Split
from collm_nas.data.decoded import decoded
from collm_nas.data.pixels import PixelFormat
from collm_nas.data.view import RandomView, View
from collm_nas.evaluator.protocol import Protocol


@dataclass(frozen=True)
class Images:
    """Decoded images of one size: bytes (N, H, W, 3), and labels (N,)."""

    pixels_NHWC: Tensor
    labels: Tensor

    def batches(
        self, size: int, pixels: PixelFormat, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield network inputs (N, 3, H, W) in channels-last layout, and their labels."""
        for start in range(0, len(self.labels), size):
            x_NHWC = self.pixels_NHWC[start : start + size].to(device)
            labels = self.labels[start : start + size].to(device)
            yield pixels.apply(x_NHWC.permute(0, 3, 1, 2)), labels


@dataclass(frozen=True)
class ProtocolImages:
    """The images of a protocol at any size. They are decoded once; all processes map the file.

    Args:
        protocol: what it left to the weights and the data set is filled in.
        pixels: how the weights want their images.
        crop_ratio: see `View`.
        cache: the folder for decoded images.
        bn_view: how calibration looks at its images; `None` is the centre.
    """

    protocol: Protocol
    pixels: PixelFormat
    crop_ratio: float
    ranking_split: Split
    bn_split: Split
    cache: Path
    bn_view: RandomView | None
    _ranking: dict[int, Images] = field(default_factory=dict, init=False, repr=False, compare=False)
    _calibration: dict[int, Images] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        # another process maps the files itself, instead of being sent their bytes
        return {**vars(self), "_ranking": {}, "_calibration": {}}

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        data: ImageData,
        cache: Path,
        pixels: PixelFormat,
        training_view: RandomView | None,
    ) -> ProtocolImages:
        """Find the splits of `protocol` in `data`.

        Args:
            training_view: what calibration sees under `bn_view=training`; `None`: the centre.

        Raises:
            DataUnavailable: they are not there.
        """
        if protocol.ranking not in data.splits:  # of a paper, and these are other images
            name = protocol.name_with(ranking="search_val")
            protocol = replace(protocol, ranking="search_val", name=name)
        interpolation = protocol.interpolation or pixels.interpolation
        return cls(
            replace(protocol, interpolation=interpolation),
            pixels,
            protocol.crop_ratio or data.crop_ratio,
            data.split(protocol.ranking),
            data.split(protocol.bn_split),
            cache,
            training_view if protocol.bn_view == "training" else None,
        )

    @property
    def identity(self) -> tuple[object, ...]:
        """Name the images, for `Protocol.digest`."""
        return self.crop_ratio, self.ranking_split.digest, self.bn_split.digest

    @property
    def ranked_by(self) -> int:
        """How many images candidates are ranked by: at most those that there are."""
        available = len(self.ranking_split)
        return min(self.protocol.images or available, available)

    @property
    def calibrated_with(self) -> int:
        """How many images batch norms are calibrated with: at most those that there are."""
        return min(self.protocol.bn_images, len(self.bn_split))

    def view(self, size: int) -> View:
        """Return how evaluation looks at images."""
        assert self.protocol.interpolation is not None
        return View(size, self.crop_ratio, self.protocol.interpolation)

    def ranking(self, size: int, workers: int = 1) -> Images:
        """Return the images that candidates are ranked by; `workers` decode what is missing."""
        if size not in self._ranking:
            split = self.ranking_split
            positions = evenly(split.labels, self.protocol.images or len(split))
            self._ranking[size] = self._images(split, positions, self.view(size), workers)
        return self._ranking[size]

    def calibration(self, size: int, workers: int = 1) -> Images:
        """Return the images that batch norms are calibrated with."""
        if size not in self._calibration:
            split, p = self.bn_split, self.protocol
            positions = drawn(len(split), p.bn_images, p.bn_seed)
            view = replace(self.view(size), training=self.bn_view, seed=p.bn_seed)
            self._calibration[size] = self._images(split, positions, view, workers)
        return self._calibration[size]

    def _images(self, split: Split, positions: Sequence[int], view: View, workers: int) -> Images:
        pixels = decoded(split, positions, view, self.cache, workers)
        labels = torch.tensor([split.labels[i] for i in positions])
        return Images(torch.from_numpy(pixels), labels)


def evenly(labels: Sequence[int], count: int) -> list[int]:
    """Choose `count` positions, the classes in turn: always the first ones of each class."""
    by_class = defaultdict(list)
    for position, label in enumerate(labels):
        by_class[label].append(position)
    rank = {p: (i, label) for label, members in by_class.items() for i, p in enumerate(members)}
    return sorted(sorted(range(len(labels)), key=rank.__getitem__)[:count])


def drawn(total: int, count: int, seed: int = 0) -> list[int]:
    """Choose `count` of `total` positions at random, the same ones by `seed`, in random order."""
    return random.Random(f"calibration/{seed}").sample(range(total), min(count, total))
