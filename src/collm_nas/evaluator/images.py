"""The images that a protocol measures with, as a network sees them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from collm_nas.data.base import ImageData, Split
from collm_nas.data.decoded import decoded
from collm_nas.data.pixels import PixelFormat
from collm_nas.data.view import RandomView, View
from collm_nas.evaluator.inherit import Images
from collm_nas.evaluator.protocol import Protocol


@dataclass(frozen=True)
class ProtocolImages:
    """The images of a protocol at any size. They are decoded once; all processes map the file.

    Args:
        protocol: what it left to the weights and the data set is filled in.
        crop_ratio: see `View`.
        cache: the folder for decoded images.
        bn_view: how calibration looks at its images; `None` is the centre.
    """

    protocol: Protocol
    crop_ratio: float
    ranking_split: Split
    bn_split: Split
    cache: Path
    bn_view: RandomView | None

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
            pixels: how the weights want their images.
            training_view: what calibration sees under `bn_view=training`; `None`: the centre.

        Raises:
            DataUnavailable: they are not there.
        """
        if protocol.ranking not in data.splits:  # of a paper, and these are other images
            name = protocol.told(ranking="search_val")
            protocol = replace(protocol, ranking="search_val", name=name)
        interpolation = protocol.interpolation or pixels.interpolation
        return cls(
            replace(protocol, interpolation=interpolation),
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
        labels = self.ranking_split.labels
        count = self.protocol.images or len(labels)
        return self._images(self.ranking_split, evenly(labels, count), self.view(size), workers)

    def calibration(self, size: int, workers: int = 1) -> Images:
        """Return the images that batch norms are calibrated with."""
        p = self.protocol
        positions = drawn(len(self.bn_split), p.bn_images, p.bn_seed)
        view = replace(self.view(size), training=self.bn_view, seed=p.bn_seed)
        return self._images(self.bn_split, positions, view, workers)

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
