"""Small images that fit into memory: splits of arrays, and the pickled batches they come in."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count
from collm_nas.core.unpickling import load
from collm_nas.data.base import DataUnavailable, ImageData, Split, SplitName
from collm_nas.data.splits import Positions, stratified
from collm_nas.data.view import Pixels


def _latin1(text: str, _: str) -> bytes:
    return text.encode("latin1")


# What a pickled array of bytes asks for, by the names of numpy's past and present.
KNOWN = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("_codecs", "encode"): _latin1,
}


@checked
class ArrayImages(ImageData):
    """A data set that is held in memory once a split is asked for.

    Args:
        search_val: how many training images of each class are held out to rank candidates: those
            whose bytes have the lowest hashes.
    """

    crop_ratio = 1.0

    def __init__(self, search_val: Count) -> None:
        self._per_class = search_val

    @abstractmethod
    def train(self) -> tuple[Pixels, Positions]:
        """Read the images (N, H, W, 3) to train with, and their labels."""

    @abstractmethod
    def test(self) -> tuple[Pixels, Positions]:
        """Read the images (N, H, W, 3) to test with, and their labels."""

    def split(self, name: SplitName) -> Split:
        if name == "test":
            return array_split(name, *self.test())
        pixels, labels = self._train
        held = self._held_out
        everything = np.arange(len(labels))
        rest = np.setdiff1d(everything, held)
        chosen = {"search_val": held, "train_fit": rest, "train": everything}[name]
        return array_split(name, pixels[chosen], labels[chosen])

    @cached_property
    def _train(self) -> tuple[Pixels, Positions]:
        return self.train()

    @cached_property
    def _held_out(self) -> Positions:
        pixels, labels = self._train
        try:
            return stratified([image.tobytes() for image in pixels], labels, self._per_class)
        except ValueError as error:
            raise DataUnavailable(f"{error} (config key: data.search_val)") from error


def array_split(name: str, pixels: NDArray[np.uint8], labels: Positions) -> Split:
    """Make a split of images (N, H, W) or (N, H, W, 3) in memory."""
    known = hashlib.sha256(np.ascontiguousarray(pixels).tobytes())
    known.update(labels.astype("<i8").tobytes())
    return Split(name, tuple(labels.tolist()), known.hexdigest(), partial(_read, pixels))


def read_batch(path: Path, label_key: str) -> tuple[Pixels, Positions]:
    """Read images (N, side, side, 3) and labels from a batch in the layout of CIFAR.

    Raises:
        DataUnavailable: the file is missing, damaged, or laid out in another way.
    """
    content = read_pickle(path)
    try:
        flat, labels = content["data"], np.array(content[label_key], dtype=np.int64)
        side = round((flat.shape[1] / 3) ** 0.5)
        images = flat.reshape(len(labels), 3, side, side).transpose(0, 2, 3, 1)
        if flat.dtype != np.uint8:
            raise TypeError(f"its pixels are {flat.dtype}, not uint8")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataUnavailable(
            f"{path} is no batch of images: {type(error).__name__}: {error}. Fetch it again."
        ) from error
    return np.ascontiguousarray(images), labels


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data and arrays.

    Raises:
        DataUnavailable: the file is damaged, or asks for more than that.
    """
    return load(path, lambda p: p.open("rb"), KNOWN, DataUnavailable, encoding="latin1")


def require_files(folder: Path, names: Sequence[str], remedy: str) -> None:
    """Check that the files are there.

    Raises:
        DataUnavailable: some are not; all are named.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataUnavailable(f"{folder} lacks {', '.join(missing)}. {remedy}")


def _read(images: NDArray[np.uint8], position: int) -> Image.Image:
    return Image.fromarray(images[position]).convert("RGB")
