"""Photographs in a folder for each class: your own data set.

Either `train/` and `val/` (or `test/`) with the class folders in them, as ImageNet; or the class
folders directly. What is held out is decided by hashes of the file names, see `splits.stratified`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from pydantic import AfterValidator

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import MANY, CountOrZero, Text
from collm_nas.data.base import DataUnavailable, ImageData, Split, SplitName
from collm_nas.data.listing import Check, Listing, listing
from collm_nas.data.splits import Positions, stratified


def _whole_from_one(number: float) -> float:
    if number > 1 and number != int(number):
        raise ValueError(f"must be below 1, or a whole number, got {number}")
    return number


Part = Annotated[float, Gt(0), Le(MANY), AfterValidator(_whole_from_one)]
Parts = Mapping[SplitName, tuple[Listing, Positions]]


class ListedImages(ImageData):
    """A data set whose splits are positions in listings of files; for `upright` see `to_rgb`."""

    def __init__(self, parts: Parts, crop_ratio: float, upright: bool) -> None:
        self.classes = parts["train"][0].classes
        self.crop_ratio = crop_ratio
        self._parts, self._upright = parts, upright

    def split(self, name: SplitName) -> Split:
        files, positions = self._parts[name]
        return files.split(name, positions, self._upright)


@checked
class ImageFolder(ListedImages):
    """The images below `root`; classes are sorted by the names of their folders.

    Args:
        search_val: which part of each class's training images is held out to rank candidates, or
            (from 1) how many of them.
        test: the same for testing, held out first; where there is a folder `val` or `test`, all
            of that is the test set instead (`val` if there are both).
        crop_ratio: see `ImageData`.
        check: `full` decodes each image once, when the folder is listed; `quick` only suspicious
            ones.
        max_broken: how many images, in each folder that is listed, may be unreadable. They are
            named, and left out.
        upright: turn images as their EXIF orientation says, as programs show them; else they
            are seen as they are stored.

    Raises:
        DataUnavailable: the folder is missing, or is not as described above.
    """

    def __init__(
        self,
        root: Text,
        search_val: Part = 0.1,
        test: Part = 0.2,
        crop_ratio: Annotated[float, Gt(0), Le(1)] = 0.875,
        check: Check = "quick",
        max_broken: CountOrZero = 10,
        upright: bool | None = True,
    ) -> None:
        folder = Path(root).expanduser()
        if (folder / "train").is_dir():
            train = listing(folder / "train", check, max_broken)
            unseen = listing(test_folder(folder), check, max_broken)
            require_same_classes(train, unseen)
            in_test, in_train = np.arange(len(unseen.names)), np.arange(len(train.names))
        else:
            train = unseen = listing(folder, check, max_broken)
            everything = np.arange(len(train.names))
            in_test = _held_out(train, everything, test, "test")
            in_train = np.setdiff1d(everything, in_test)
        in_search_val = _held_out(train, in_train, search_val, "search_val")
        parts: Parts = {
            "train": (train, in_train),
            "search_val": (train, in_search_val),
            "train_fit": (train, np.setdiff1d(in_train, in_search_val)),
            "test": (unseen, in_test),
        }
        super().__init__(parts, crop_ratio, bool(upright))


def test_folder(root: Path) -> Path:
    """Return the folder of images that were not trained on.

    Raises:
        DataUnavailable: there is none.
    """
    for name in ("val", "test"):
        if (root / name).is_dir():
            return root / name
    raise DataUnavailable(f"{root} has a folder train, but neither val nor test (data.root)")


def require_same_classes(train: Listing, unseen: Listing) -> None:
    """Check that both have the same class folders.

    Raises:
        DataUnavailable: they do not; the message names those of one only.
    """
    problems = [
        f"only {files.root} has {', '.join(only)}"
        for files, others in ((train, unseen), (unseen, train))
        if (only := sorted({*files.classes} - {*others.classes}))
    ]
    if problems:
        raise DataUnavailable("the folders of classes differ: " + "; ".join(problems))


def _held_out(files: Listing, among: Positions, share: float, key: str) -> Positions:
    try:
        chosen = stratified(files.names[among].tolist(), files.labels[among], share)
    except ValueError as error:
        raise DataUnavailable(f"{files.root}: {error} (config key: data.{key})") from error
    return among[chosen]
