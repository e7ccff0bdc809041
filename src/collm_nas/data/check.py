"""Whether a data set and a search space are about the same number of classes."""

from __future__ import annotations

from typing import ClassVar, Protocol

from collm_nas.data.base import ImageData


class Classifying(Protocol):
    """What is asked of a search space here."""

    name: ClassVar[str]
    num_classes: int


def check_classes(space: Classifying, data: ImageData) -> None:
    """Refuse a data set with another number of classes than the networks of `space` tell apart.

    Raises:
        ValueError: it has.
    """
    count = len(data.classes)
    if count != space.num_classes:
        raise ValueError(
            f"the networks of {space.name} tell {space.num_classes} classes apart, but the data "
            f"set has {count}. Choose another (data=…), or set searchspace.num_classes={count} "
            f"(of nasbench201: searchspace.dataset) and a supernet trained for it"
        )
