"""Which images of a training set are held out: pure functions, so that everybody gets the same.

Each takes the images in the order of torchvision's `ImageFolder`: sorted by class, then by name.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]  # ascending

OFA_SEED, OFA_IMAGES = 2147483647, 10_000
AUTOFORMER_PER_CLASS = 100


def stratified(names: Sequence[bytes], labels: Positions, share: float) -> Positions:
    """Hold out `share` of each class (below 1), or that many images of each (from 1).

    These are the images whose names have the lowest hashes: which they are depends on no random
    generator, and hardly on the other images.

    Raises:
        ValueError: a class would have no image left, or none held out.
    """
    hashes = [hashlib.sha256(name).digest() for name in names]
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).tolist()
        count = int(share) if share >= 1 else max(1, round(share * len(members)))
        if not 0 < count < len(members):
            raise ValueError(
                f"cannot hold out {count} of the {len(members)} images of class {label} "
                f"({share:g} of each): some must be left, and at least one held out"
            )
        held += sorted(members, key=hashes.__getitem__)[:count]
    return np.array(sorted(held), dtype=np.int64)


def ofa_held_out(count: int) -> Positions:
    """Return the 10,000 of `count` training images that once-for-all held out (its imagenet.py).

    Raises:
        ValueError: there are not more than these.
    """
    import torch

    if count <= OFA_IMAGES:
        raise ValueError(f"ofa_10k holds out {OFA_IMAGES:,} images, but there are {count:,}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(OFA_SEED))
    held: Positions = np.sort(order[:OFA_IMAGES].numpy())
    return held


def autoformer_sampled(labels: Positions) -> Positions:
    """Return the 100 images of each class that AutoFormer ranks with (its subImageNet.py).

    Raises:
        ValueError: a class has not more than these.
    """
    rng = random.Random(0)  # one stream over the classes, in their order
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).tolist()
        if len(members) <= AUTOFORMER_PER_CLASS:
            raise ValueError(
                f"autoformer_100 holds out {AUTOFORMER_PER_CLASS} images of each class, but class "
                f"{label} has {len(members)}"
            )
        held += rng.sample(members, AUTOFORMER_PER_CLASS)
    return np.array(sorted(held), dtype=np.int64)


def digest(
    names: Sequence[bytes], labels: Positions, sizes: Positions, ways: Sequence[str] = ()
) -> str:
    """Name images by a hash over their names, labels and sizes in bytes, in their order.

    With the sizes, because the same names are there at several resolutions; and with `ways` in
    which some of them are read, if these are not the usual one.
    """
    found = hashlib.sha256()
    for name, label, size in zip(names, labels.tolist(), sizes.tolist(), strict=True):
        found.update(b"%s\0%d\0%d\n" % (name, label, size))
    for way in ways:
        found.update(way.encode())
    return found.hexdigest()
