"""ImageNet16-120: the first 120 classes of ImageNet at 16x16 pixels, as NAS-Bench-201 uses it.

Chrabaszcz, Loshchilov and Hutter, A Downsampled Variant of ImageNet, 2017
(https://arxiv.org/abs/1707.08819): the files `Imagenet16_train` and `Imagenet16_val`. They number
the classes from 1 on, in an order of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Text
from collm_nas.data.arrays import ArrayImages, read_batch, require_files
from collm_nas.data.splits import Positions
from collm_nas.data.view import Pixels

CLASSES = 120
TRAIN = tuple(f"train_data_batch_{i}" for i in range(1, 11))
TEST = ("val_data",)


@checked
class ImageNet16(ArrayImages):
    """151,700 images to train and 6,000 to test, from the files in `root`.

    Args:
        search_val: how many training images of each class are held out to rank candidates.

    Raises:
        DataUnavailable: the files are not there, or damaged.
    """

    classes = tuple(str(number) for number in range(1, CLASSES + 1))

    def __init__(self, root: Text, search_val: Count) -> None:
        super().__init__(search_val)
        self._folder = Path(root).expanduser()
        require_files(
            self._folder,
            [*TRAIN, *TEST],
            "Fetch ImageNet at 16x16 pixels from https://image-net.org/download-images (with an "
            "account) and unpack it there (config key: data.root)",
        )

    def train(self) -> tuple[Pixels, Positions]:
        """Read the images (151,700, 16, 16, 3) to train with, and their labels."""
        return _read(self._folder, TRAIN)

    def test(self) -> tuple[Pixels, Positions]:
        """Read the images (6,000, 16, 16, 3) to test with, and their labels."""
        return _read(self._folder, TEST)


def _read(folder: Path, names: tuple[str, ...]) -> tuple[Pixels, Positions]:
    parts = []
    for name in names:
        pixels, numbers = read_batch(folder / name, "labels")
        first = numbers <= CLASSES
        parts.append((pixels[first], numbers[first] - 1))
    pixels_of, labels_of = zip(*parts, strict=True)
    return np.concatenate(pixels_of), np.concatenate(labels_of)
