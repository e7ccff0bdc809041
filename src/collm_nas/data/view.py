"""From an image to the square of bytes that a network sees, as far as no weights are involved."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collm_nas.data import opencv

Interpolation = Literal["bilinear", "bicubic", "opencv"]
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class View:
    """How evaluation looks at an image: shorter side to `ceil(size / crop_ratio)`, centre crop.

    Args:
        size: side of the result in pixels.
        crop_ratio: 0.875 is the usual 224 of 256.
        interpolation: Pillow's antialiased `bilinear` or `bicubic`; `opencv` is its bilinear, with
            its rounding of the longer side, as in SPOS.
        random_crop: the training view instead, for batch-norm statistics: a random crop of 8% to
            100% of the area, scaled to `size` by Pillow, and flipped half of the time. The draw
            depends on `seed` and the image's position alone.
    """

    size: int
    crop_ratio: float = 0.875
    interpolation: Interpolation = "bilinear"
    random_crop: bool = False
    seed: int = 0

    @property
    def shorter_side(self) -> int:
        """Return what the shorter side is scaled to before the crop, in pixels."""
        return math.ceil(round(self.size / self.crop_ratio, 6))

    def apply(self, image: Image.Image, position: int) -> Pixels:
        """Return the bytes (size, size, 3), RGB."""
        if self.random_crop:
            return self._random_crop(image, random.Random(f"{self.seed}/{position}"))
        resized = self._resize(image, self.shorter_side)
        left = round((resized.width - self.size) / 2)
        top = round((resized.height - self.size) / 2)
        return np.asarray(resized.crop((left, top, left + self.size, top + self.size)))

    def _resize(self, image: Image.Image, shorter: int) -> Image.Image:
        """Make the shorter side exact; the longer is cut to whole pixels as in the papers' code."""
        if shorter == min(image.size):
            return image
        if self.interpolation == "opencv":
            scale = shorter / min(image.size)
            width, height = (int(scale * side + 0.5) for side in image.size)
            return Image.fromarray(opencv.resize(np.asarray(image), width, height))
        width, height = (int(shorter * side / min(image.size)) for side in image.size)
        return image.resize((width, height), PILLOW[self.interpolation])

    def _random_crop(self, image: Image.Image, rng: random.Random) -> Pixels:
        filter_ = PILLOW.get(self.interpolation, Image.Resampling.BILINEAR)
        crop = image.crop(crop_box(image.size, (0.08, 1.0), rng)).resize(
            (self.size, self.size), filter_
        )
        flipped = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop
        return np.asarray(flipped)


def crop_box(size: tuple[int, int], scale: Sequence[float], rng: random.Random) -> Box:
    """Draw a box by its share of the area, and sides of 3:4 to 4:3.

    The rule of Szegedy et al. (2015, https://arxiv.org/abs/1409.4842), as torchvision has it. If
    ten draws do not fit, it is the largest such box in the centre.
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
