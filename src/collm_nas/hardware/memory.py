"""The closed-form costs, and how much memory the activations of an image need."""

from __future__ import annotations

import random

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import Metrics
from collm_nas.spaces.base import SearchSpace


class ActivationMemory:
    """Adds `activation_bytes` to the costs: see `SearchSpace.activation_bytes`.

    Raises:
        ValueError: the space has no closed form for it.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        try:
            space.activation_bytes(space.sample(random.Random(0)))
        except NotImplementedError:
            raise ValueError(
                f"the search space {space.name} cannot tell the memory of its activations; use "
                "hardware=closed_form"
            ) from None

    def costs(self, arch: Architecture) -> Metrics:
        return {**self.space.costs(arch), "activation_bytes": self.space.activation_bytes(arch)}
