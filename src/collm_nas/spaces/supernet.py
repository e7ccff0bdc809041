"""What a supernet is: one set of weights that contains every architecture of a search space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.data.base import SplitName
from collm_nas.data.view import RandomView
from collm_nas.spaces.base import SearchSpace


@dataclass(frozen=True)
class OfficialWeights:
    """Where the authors of a supernet published its weights."""

    url: str
    file_name: str
    sha256: str | None = None  # where known
    note: str = ""  # what else a user should know, e.g. how the pixels are scaled
    only_page: bool = False  # the address is a page that links to the file, for a person's eyes

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.file_name}{note}, from {self.url}"


class Supernet(nn.Module, ABC):
    """A weight-sharing network. It never remembers an "active" architecture: pass it each time.

    A subclass is constructed with its space alone, which knows classes, resolution and widths.
    """

    # How the published weights want their pixels: a name in `collm_nas.data.pixels`.
    input_format: ClassVar[str] = "imagenet"

    # How images were seen when these were trained, and are when their batch norms are calibrated.
    training_view: ClassVar[RandomView | None] = None

    # The split of ImageNet's training images that these have not seen, if there is one.
    unseen: ClassVar[SplitName | None] = None

    # Published weights by `SearchSpace.identity`.
    official_weights: ClassVar[Mapping[str, OfficialWeights]] = {}

    @staticmethod
    def official_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the weights of a published file the names they have here."""
        return dict(state)

    @abstractmethod
    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        """Classify `images` (N, 3, H, W) with the subnet `arch`; return logits (N, classes)."""

    @abstractmethod
    def extract(self, arch: Architecture) -> nn.Module:
        """Copy the subnet `arch` out, as an ordinary module with its own weights.

        Invariant, tested for every space: `extract(arch)(x) == forward(x, arch)` in eval mode.
        """

    @staticmethod
    def blocks_of(subnet: nn.Module) -> list[nn.Module]:
        """List the modules of an extracted subnet that `SearchSpace.block_names` names."""
        raise ValueError(f"{type(subnet).__name__} is no chain of blocks")

    @classmethod
    def stand_alone(cls, space: Any, arch: Architecture) -> nn.Module:
        """Return the network of `arch`, freshly initialised as its source does to train it alone.

        By default it is cut out of a fresh supernet. Where a network of its own starts otherwise,
        a subclass says so.
        """
        return cls(space).extract(arch)


def build_supernet(space: SearchSpace) -> Supernet:
    """Build the freshly initialised supernet of `space`.

    Raises:
        ValueError: the space has none.
    """
    return supernet_class(space)(space)


def supernet_class(space: SearchSpace) -> type[Supernet]:
    """Return the class of the supernet of `space`.

    Raises:
        ValueError: the space has none.
    """
    if not space.supernet:
        raise ValueError(f"the search space {space.name} has no supernet")
    return cast(type[Supernet], resolve_name(space.supernet))
