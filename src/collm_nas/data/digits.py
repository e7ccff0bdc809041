"""1,797 handwritten digits of 8x8 pixels, which come with scikit-learn: no download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collm_nas.data.arrays import array_split
from collm_nas.data.base import ImageData, Split, SplitName

PARTS: dict[SplitName, slice] = {
    "train_fit": slice(0, 1000),
    "search_val": slice(1000, 1300),
    "train": slice(0, 1300),
    "test": slice(1300, None),
}


class Digits(ImageData):
    """Images in a fixed random order: 1,000 to train with, 300 to search with, 497 to test."""

    classes = tuple("0123456789")
    crop_ratio = 1.0

    def split(self, name: SplitName) -> Split:
        images, labels = self._shuffled
        return array_split(name, images[PARTS[name]], labels[PARTS[name]])

    @cached_property
    def _shuffled(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        from sklearn.datasets import load_digits

        loaded = load_digits()
        order = np.random.default_rng(0).permutation(len(loaded.target))
        pixels = np.round(loaded.images * (255 / 16)).astype(np.uint8)
        return pixels[order], loaded.target[order].astype(np.int64)
