"""ImageNet (ILSVRC 2012): 1,281,167 photographs of 1,000 classes to train, 50,000 to test.

Russakovsky et al., 2015. As folders `train` and `val` with one folder for each class in them, named
by its WordNet id. What papers ranked candidates on is held out of `train` as they did it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import CountOrZero, Text
from collm_nas.data.base import USUAL, DataUnavailable, Split, SplitName
from collm_nas.data.imagefolder import ListedImages, Parts, require_same_classes
from collm_nas.data.listing import Check, Listing, listing
from collm_nas.data.splits import Positions, autoformer_sampled, ofa_held_out, stratified

HeldOut = Literal["per_class_50", "ofa_10k", "autoformer_100"]
CLASSES, TRAIN_IMAGES, TEST_IMAGES = 1000, 1_281_167, 50_000
SORT_VAL = (
    "The archive of the validation images has no folders: sort the images into one for each class, "
    "as the script valprep.sh does that is usual for it, or torchvision.datasets.ImageNet"
)


@checked
class ImageNet(ListedImages):
    """ImageNet below `root`; `test` is the validation set, as everybody reports on it.

    What papers ranked candidates by are splits as well, whatever `search_val` is.

    Args:
        search_val: which images of `train` are held out: 50 of each class by the hashes of their
            names; the 10,000 of once-for-all; or AutoFormer's 100 of each class, on which its
            released supernets were trained nevertheless.
        check: see `ImageFolder`.
        max_broken: see `ImageFolder`.

    Raises:
        DataUnavailable: a folder is missing, incomplete, or not as described above.
    """

    splits = (*USUAL, "ofa_10k", "autoformer_100")

    def __init__(
        self,
        root: Text,
        search_val: HeldOut = "per_class_50",
        check: Check = "quick",
        max_broken: CountOrZero = 10,
    ) -> None:
        folder = Path(root).expanduser()
        _require_layout(folder)
        train = listing(folder / "train", check, max_broken)
        test = listing(folder / "val", check, max_broken)
        require_same_classes(train, test)
        _require_all_of_it(train, test)
        held = _held_out(train, search_val)
        everything = np.arange(len(train.names))
        parts: Parts = {
            "train": (train, everything),
            "search_val": (train, held),
            "train_fit": (train, np.setdiff1d(everything, held)),
            "test": (test, np.arange(len(test.names))),
        }
        # no published network has ever seen one of them turned
        super().__init__(parts, crop_ratio=0.875, upright=False)

    def split(self, name: SplitName) -> Split:
        if name in ("ofa_10k", "autoformer_100"):
            train, _ = self._parts["train"]
            return train.split(name, _held_out(train, name), self._upright)
        return super().split(name)


def _held_out(train: Listing, rule: HeldOut) -> Positions:
    match rule:
        case "per_class_50":
            return stratified(train.names.tolist(), train.labels, 50)
        case "ofa_10k":
            return ofa_held_out(len(train.names))
        case "autoformer_100":
            return autoformer_sampled(train.labels)


def _require_layout(root: Path) -> None:
    missing = [name for name in ("train", "val") if not (root / name).is_dir()]
    if missing:
        raise DataUnavailable(
            f"ImageNet is not in {root}: there is no {' and no '.join(missing)}. It should be "
            f"train/ and val/ with one folder for each class (config key: data.root, or the "
            f"environment variable IMAGENET), and is to be had from "
            f"https://image-net.org/download, with an account"
        )
    if not any(path.is_dir() for path in (root / "val").iterdir()):
        raise DataUnavailable(f"{root / 'val'} has no folders of classes in it. {SORT_VAL}")


def _require_all_of_it(train: Listing, test: Listing) -> None:
    """Refuse a part of ImageNet: its accuracies, and the splits of papers, would be others."""
    problems = [
        f"{files.root} has {len(files.names):,} images of {len(files.classes):,} classes, not "
        f"{images:,} of {CLASSES:,}"
        for files, images in ((train, TRAIN_IMAGES), (test, TEST_IMAGES))
        if (len(files.names), len(files.classes)) != (images, CLASSES)
    ]
    if problems:
        raise DataUnavailable(
            "\n".join(problems) + "\nIf it is not meant to be all of ImageNet: data=imagefolder"
        )
