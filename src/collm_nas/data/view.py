"""From an image to the square of bytes that a network sees, as far as no weights are involved."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import NotNegative
from collm_nas.data import opencv

Interpolation = Literal["bilinear", "bicubic", "opencv"]
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Pixels = NDArray[np.uint8]
Area = Annotated[float, Gt(0), Le(1)]  # a part of an image's
Box = tuple[int, int, int, int]  # left, top, right, bottom


@checked
@dataclass(frozen=True)
class RandomView:
    """How training looks at an image: a random crop; mirrored half of the time; colours shifted.

    Args:
        scale: the least part of the image's area that a crop covers.
        flip: whether to mirror. Digits and letters are not what they mirror.
        brightness, contrast, saturation: how far each may leave its factor of 1. They are
            changed in random order, as torchvision does.
    """

    scale: Area = 0.08
    flip: bool = True
    brightness: NotNegative = 0.0
    contrast: NotNegative = 0.0
    saturation: NotNegative = 0.0

    def draw(self, image: Image.Image, size: int, rng: random.Random) -> Pixels:
        """Return RGB bytes (size, size, 3)."""
        box = crop_box(image.size, (self.scale, 1.0), rng)
        crop = image.crop(box).resize((size, size), PILLOW["bilinear"])
        if self.flip and rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(self._jittered(crop, rng))

    def _jittered(self, image: Image.Image, rng: random.Random) -> Image.Image:
        strengths: dict[Callable[[Image.Image], ImageEnhance._Enhance], float] = {
            ImageEnhance.Brightness: self.brightness,
            ImageEnhance.Contrast: self.contrast,
            ImageEnhance.Color: self.saturation,
        }
        active = [change for change, strength in strengths.items() if strength]
        for change in rng.sample(active, len(active)):
            strength = strengths[change]
            image = change(image).enhance(rng.uniform(max(0.0, 1 - strength), 1 + strength))
        return image


@dataclass(frozen=True)
class View:
    """How evaluation looks at an image: shorter side to `ceil(size / crop_ratio)`, centre crop.

    Args:
        size: side of the result in pixels.
        crop_ratio: 0.875 is the usual 224 of 256.
        interpolation: Pillow's antialiased `bilinear` or `bicubic`; `opencv` is its bilinear, with
            its rounding of the longer side, as in SPOS.
        training: a training view instead, for batch-norm statistics. The draw depends on `seed`
            and the image's position alone.
    """

    size: int
    crop_ratio: float = 0.875
    interpolation: Interpolation = "bilinear"
    training: RandomView | None = None
    seed: int = 0

    @property
    def shorter_side(self) -> int:
        """Return what the shorter side is scaled to before the crop, in pixels."""
        return math.ceil(round(self.size / self.crop_ratio, 6))

    def apply(self, image: Image.Image, position: int) -> Pixels:
        """Return the bytes (size, size, 3), RGB."""
        if self.training is not None:
            return self.training.draw(image, self.size, random.Random(f"{self.seed}/{position}"))
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
