"""CIFAR-10 and CIFAR-100: 60,000 images of 32x32 pixels, 10,000 of them to test.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; the "python version".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Text
from collm_nas.data.arrays import ArrayImages, read_batch, read_pickle, require_files
from collm_nas.data.base import DataUnavailable
from collm_nas.data.splits import Positions
from collm_nas.data.view import Pixels


@dataclass(frozen=True)
class Release:
    """Files of a release, and the keys of what is in them."""

    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str
    archive: str
    md5: str


RELEASES = {
    "cifar10": Release(
        "cifar-10-batches-py",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        "batches.meta",
        "labels",
        "label_names",
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
    ),
    "cifar100": Release(
        "cifar-100-python",
        ("train",),
        "test",
        "meta",
        "fine_labels",
        "fine_label_names",
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
}
URL = "https://www.cs.toronto.edu/~kriz"


@checked
class CIFAR(ArrayImages):
    """CIFAR-10 or CIFAR-100 below `root`, where torchvision puts it, too.

    Args:
        search_val: how many training images of each class are held out to rank candidates.
        download: whether to fetch it if it is not there.

    Raises:
        DataUnavailable: it is not there, or damaged.
    """

    def __init__(
        self,
        dataset: Literal["cifar10", "cifar100"],
        root: Text,
        search_val: Count,
        download: bool = False,
    ) -> None:
        super().__init__(search_val)
        self._release = release = RELEASES[dataset]
        self._folder = Path(root).expanduser() / release.folder
        if download and not self._folder.is_dir():
            _download(release, self._folder.parent)
        require_files(
            self._folder,
            [*release.train, release.test, release.meta],
            f"Set data.download=true to fetch {URL}/{release.archive} (170 MB), or unpack it in "
            f"{self._folder.parent} (config key: data.root)",
        )
        self.classes = tuple(read_pickle(self._folder / release.meta)[release.names])

    def train(self) -> tuple[Pixels, Positions]:
        """Read the images (50,000, 32, 32, 3) to train with, and their labels."""
        batches = [self._read(name) for name in self._release.train]
        pixels, labels = zip(*batches, strict=True)
        return np.concatenate(pixels), np.concatenate(labels)

    def test(self) -> tuple[Pixels, Positions]:
        """Read the images (10,000, 32, 32, 3) to test with, and their labels."""
        return self._read(self._release.test)

    def _read(self, name: str) -> tuple[Pixels, Positions]:
        return read_batch(self._folder / name, self._release.labels)


def _download(release: Release, root: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive

    address = f"{URL}/{release.archive}"
    try:
        download_and_extract_archive(address, str(root), md5=release.md5)
    except (OSError, RuntimeError) as error:
        raise DataUnavailable(
            f"cannot download {address}: {error}. Fetch it elsewhere and unpack it in {root}"
        ) from error
