"""From an image to the square of bytes that a network sees, as far as no weights are involved."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

Interpolation = Literal["bilinear", "bicubic", "opencv"]
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """How evaluation looks at an image: shorter side to `ceil(size / crop_ratio)`, centre crop.

    Args:
        size: side of the result in pixels.
        crop_ratio: 0.875 is the usual 224 of 256.
        interpolation: Pillow's antialiased `bilinear` or `bicubic`; `opencv` is bilinear without
            antialiasing.
        random_crop: the training view instead, for batch-norm statistics: a random crop of 8% to
            100% of the area, scaled to `size`, and flipped half of the time. The draw depends on
            `seed` and the image's position alone.
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
        shorter = self.shorter_side
        width, height = image.size
        scale = shorter / min(width, height)
        # the shorter side exactly, the longer one cut off, as torchvision and the papers' code
        target = (
            (shorter, int(shorter * height / width))
            if width <= height
            else (int(shorter * width / height), shorter)
        )
        resized = image if scale == 1 else self._resize(image, target)
        left = round((target[0] - self.size) / 2)
        top = round((target[1] - self.size) / 2)
        return np.asarray(resized.crop((left, top, left + self.size, top + self.size)))

    def _random_crop(self, image: Image.Image, rng: random.Random) -> Pixels:
        box = _crop_box(image.size, rng)
        crop = self._resize(image.crop(box), (self.size, self.size))
        flipped = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop
        return np.asarray(flipped)

    def _resize(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        if self.interpolation != "opencv":
            return image.resize(size, PILLOW[self.interpolation])
        pixels_CHW = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        resized = F.interpolate(pixels_CHW[None], size[::-1], mode="bilinear")[0]
        return Image.fromarray(resized.round().byte().permute(1, 2, 0).numpy())


def _crop_box(size: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    """Draw a box of 8% to 100% of the area and sides of 3:4 to 4:3; else the centre."""
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.randint(0, width - w), rng.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
