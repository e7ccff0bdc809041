"""What a training step sees of an image: bytes, drawn by a seed, the same in any process."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from collm_nas.data.view import Pixels

FLIP = Image.Transpose.FLIP_LEFT_RIGHT
Box = tuple[int, int, int, int]


class Augmentation(Protocol):
    """Changes images, and the batches that they form.

    `repeats` is how many views of an image follow each other in the stream of a training.
    """

    repeats: int

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        """Return RGB bytes (size, size, 3), a function of the arguments."""

    def batch(
        self, images_NCHW: Tensor, labels: Tensor, classes: int, rng_seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return normalised images, and their labels (N,) or distributions over (N, classes)."""


class Unmixed:
    """An augmentation of single images: batches stay as they are."""

    repeats = 1

    def batch(
        self, images_NCHW: Tensor, labels: Tensor, classes: int, rng_seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return them unchanged."""
        return images_NCHW, labels


@dataclass(frozen=True)
class Light(Unmixed):
    """For small data sets: a crop, scaled to size, and a mirror.

    Args:
        scale: the least part of the image's area that a crop covers.
        flip: mirror half of the images. Digits and letters are not what they mirror.
    """

    scale: float = 0.35
    flip: bool = True

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        """See `Augmentation`."""
        rng = random.Random(rng_seed)
        box = crop_box(image.size, (self.scale, 1.0), rng)
        crop = image.resize((size, size), Image.Resampling.BILINEAR, box)
        return np.asarray(crop.transpose(FLIP) if self.flip and rng.random() < 0.5 else crop)


def crop_box(size: tuple[int, int], scale: tuple[float, float], rng: random.Random) -> Box:
    """Draw a box by its share of the area, and sides of 3:4 to 4:3; else the centre.

    The rule of Szegedy et al. (2015, https://arxiv.org/abs/1409.4842), as torchvision has it.
    """
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
