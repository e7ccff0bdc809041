"""Costs that follow from the architecture alone: multiply-adds, parameters."""

from __future__ import annotations

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import Metrics
from collm_nas.spaces.base import SearchSpace


class ClosedForm:
    """Ask the space, which knows the exact costs of its architectures."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def costs(self, arch: Architecture) -> Metrics:
        return self.space.costs(arch)
