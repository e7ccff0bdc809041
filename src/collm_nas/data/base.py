"""What a data set is: labelled images in splits that never change.

Three disjoint splits keep a search honest: supernets are trained on `train_fit`, candidates are
ranked on `search_val`, and `test` is opened when a search is over. `train` is the first two
together, in the data set's own order, for protocols of papers that held nothing out. ImageNet has
more: the training images that papers ranked candidates by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PIL.Image import Image

SplitName = Literal["train_fit", "search_val", "train", "test", "ofa_10k", "autoformer_100"]
USUAL: tuple[SplitName, ...] = ("train_fit", "search_val", "train", "test")


@dataclass(frozen=True)
class Split:
    """Some images of a data set, in a fixed order.

    Args:
        name: which split.
        labels: the class of each image.
        digest: sha256 over which images these are, their labels and order; it names them in
            protocols and caches.
        read: returns the image at a position, as RGB, or raises `BrokenImage`; picklable, and
            safe in any thread and process.
    """

    name: str
    labels: tuple[int, ...]
    digest: str
    read: Callable[[int], Image]

    def __len__(self) -> int:
        return len(self.labels)


class ImageData(ABC):
    """A data set.

    `splits` are those that it has. `classes` are the names of the classes, in the order of the
    labels. `crop_ratio` is the part of a resized image's side that evaluation keeps: 0.875 for
    photographs, 1 for images that are small already.
    """

    splits: tuple[SplitName, ...] = USUAL
    classes: tuple[str, ...]
    crop_ratio: float

    @abstractmethod
    def split(self, name: SplitName) -> Split:
        """Return one of `splits`; reading its images may come later.

        Raises:
            DataUnavailable: the data set is not where it should be, or broken.
        """


class DataUnavailable(ValueError):
    """A data set is missing or broken; the message says what was expected where."""


class BrokenImage(ValueError):
    """An image cannot be decoded; the message names its file. It ends what needed the image."""
