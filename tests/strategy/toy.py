"""A small space with inactive genes, and what its architectures are worth."""

from __future__ import annotations

from collections.abc import Sequence

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import Limit, Metrics, Problem
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.spaces.base import Costs, SearchSpace, Variable

WIDTHS = (8, 16, 32)


class Staircase(SearchSpace):
    """Up to `depth` layers, each of one of three widths; widths beyond the depth are cut."""

    name = "staircase"

    def __init__(self, depth: int = 3) -> None:
        depths = tuple(range(1, depth + 1))
        super().__init__([Variable("depth", depths), Variable("width", WIDTHS, depth)])

    def canonical(self, arch: Architecture) -> Architecture:
        depth = int(arch["depth"][0])
        return Architecture.of({"depth": [depth], "width": arch["width"][:depth]})

    def size(self) -> int:
        return sum(len(WIDTHS) ** depth for depth in self.variables[0].options)

    def costs(self, arch: Architecture) -> Costs:
        return {"macs": float(sum(arch["width"])), "params": float(arch["depth"][0])}


class WiderIsBetter:
    """The objective is separable, so it has a single local optimum: all layers, all wide.

    It crashes, like a machine does, once `patience` architectures were evaluated.
    """

    objective = "val_accuracy"
    protocol = "toy"

    def __init__(self, patience: int = 1_000_000) -> None:
        self.patience = patience
        self.asked: list[Architecture] = []

    def evaluate(self, arch: Architecture) -> Metrics:
        if len(self.asked) == self.patience:
            raise KeyboardInterrupt
        self.asked.append(arch)
        return {"val_accuracy": 50 + sum(arch["width"]) / 8 + 0.1 * len(arch["width"])}


def staircase(depth: int = 3, limits: Sequence[Limit] = ()) -> Problem:
    space = Staircase(depth)
    return Problem(space, ClosedForm(space), tuple(limits))
