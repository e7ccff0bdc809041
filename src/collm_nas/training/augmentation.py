"""What a training step sees of an image: bytes, drawn by a seed, the same in any process."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import CountOrZero
from collm_nas.data.view import PILLOW, Interpolation, Pixels, RandomView, crop_box

FLIP = Image.Transpose.FLIP_LEFT_RIGHT


class Augmentation(Protocol):
    """Changes images, and the batches that they form."""

    @property
    def repeats(self) -> int:
        """Return how many views of an image follow each other in the stream of a training."""

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        """Return RGB bytes (size, size, 3), a function of the arguments."""

    def batch(
        self, images_NCHW: Tensor, labels: Tensor, classes: int, rng_seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return normalised images, and their labels (N,) or distributions over (N, classes)."""


class Single:
    """An augmentation of single images: batches stay as they are."""

    repeats = 1

    def batch(
        self, images_NCHW: Tensor, labels: Tensor, classes: int, rng_seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return them unchanged."""
        return images_NCHW, labels


@checked
@dataclass(frozen=True)
class RandomCrop(RandomView, Single):
    """A random view of each image; batch norms may be calibrated on such views, too."""

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        return self.draw(image, size, random.Random(rng_seed))


@checked
@dataclass(frozen=True)
class PaddedCrop(Single):
    """CIFAR's: mirrored half of the time; then a crop of the image's own size, black around it.

    Args:
        padding: pixels around the image; `null`: an eighth of its side, as in NAS-Bench-201: 4
            around 32 pixels, 2 around 16.
    """

    padding: CountOrZero | None = None

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        rng = random.Random(rng_seed)
        if image.size != (size, size):
            image = image.resize((size, size), PILLOW["bilinear"])
        mirrored = maybe_mirrored(image, rng)
        padding = size // 8 if self.padding is None else self.padding
        left, top = (rng.randint(-padding, padding) for _ in range(2))
        return np.asarray(mirrored.crop((left, top, left + size, top + size)))


def random_crop(
    image: Image.Image, size: int, scale: float, interpolation: Interpolation, rng: random.Random
) -> Image.Image:
    """Cut out a box of at least `scale` of the area and scale it to `size`."""
    crop = image.crop(crop_box(image.size, (scale, 1.0), rng))
    return crop.resize((size, size), PILLOW[interpolation])


def maybe_mirrored(image: Image.Image, rng: random.Random) -> Image.Image:
    """Mirror half of the time."""
    return image.transpose(FLIP) if rng.random() < 0.5 else image
