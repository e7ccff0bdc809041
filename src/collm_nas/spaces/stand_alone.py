"""One network where a supernet is asked for: a search space of one architecture, and its weights.

All that trains, stores and measures supernets serves networks that are trained on their own, too.
"""

from __future__ import annotations

import random
from copy import deepcopy
from typing import ClassVar

from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import Costs, SearchSpace
from collm_nas.spaces.supernet import Supernet, supernet_class

NORMS = "norms"  # in what a file of one network says of itself: `own` or `calibrated`, see `Recipe`


class OneNetwork(SearchSpace):
    """The space that holds `arch` of `space` and nothing else."""

    name = "one network"
    supernet: ClassVar[str] = "collm_nas.spaces.stand_alone:Alone"

    def __init__(self, space: SearchSpace, arch: Architecture) -> None:
        super().__init__(())
        self.space, self.arch = space, arch

    @property
    def identity(self) -> str:
        """Name the space and the architecture: weights of another network are refused."""
        return f"{self.space.identity}+{self.space.key(self.arch)}"

    def costs(self, arch: Architecture) -> Costs:
        return self.space.costs(arch)

    def resolution(self, arch: Architecture) -> int:
        return self.space.resolution(arch)

    def key(self, arch: Architecture) -> str:
        return self.space.key(arch)

    def sample(self, rng: random.Random) -> Architecture:
        """Return the one."""
        return self.arch


class Alone(Supernet):
    """The network of the one architecture, freshly initialised as its source does."""

    def __init__(self, space: OneNetwork) -> None:
        super().__init__()
        self.network = supernet_class(space.space).stand_alone(space.space, space.arch)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def extract(self, arch: Architecture) -> nn.Module:
        return deepcopy(self.network)
