"""Subnets that are the same in every validation: what a training is watched, and chosen, by.

A random subnet each time would mix how good the supernet is with which subnet was drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from collm_nas.core.architecture import Architecture, Value
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.choices import Choices, draw_uniform, narrowed

SAMPLE = 1001


def anchors(space: SearchSpace, choices: Choices) -> dict[str, Architecture]:
    """Return the smallest, the largest and a middling subnet, and published ones, by name.

    Args:
        choices: what the training draws from; if that is not the whole space, published subnets
            are left out. Those that were fine-tuned always are.
    """
    found = {
        "smallest": smallest(space, choices),
        "median": median(space, choices),
        "largest": largest(space, choices),
    }
    if choices:
        return found
    known = space.published_within().items()
    return found | {name: arch for name, arch in known if not space.published[name].finetuned}


def smallest(space: SearchSpace, choices: Choices) -> Architecture:
    """Return the subnet of the fewest multiply-adds; see `_extreme`."""
    return _extreme(space, choices, min)


def largest(space: SearchSpace, choices: Choices) -> Architecture:
    """Return the subnet of the most multiply-adds; see `_extreme`."""
    return _extreme(space, choices, max)


def median(space: SearchSpace, choices: Choices) -> Architecture:
    """Return a subnet of median multiply-adds, out of a fixed sample."""
    rng = random.Random("median")
    drawn = [draw_uniform(space, choices, rng) for _ in range(SAMPLE)]
    return sorted(drawn, key=lambda arch: space.costs(arch)["macs"])[SAMPLE // 2]


def _extreme(space: SearchSpace, choices: Choices, pick: Callable[..., Value]) -> Architecture:
    """Set gene after gene to its cheapest or most expensive option, while all others stay.

    Exact where an option that is cheaper for one architecture is so for all, as in all spaces
    here. Of options that cost the same, the last is taken: in cells the first is no operation.
    """
    options = narrowed(space, choices)
    genes = {v.name: [pick(options[v.name])] * v.count for v in space.variables}

    def cost_with(name: str, place: int, option: Value) -> tuple[float, float]:
        row = [*genes[name][:place], option, *genes[name][place + 1 :]]
        costs = space.costs(space.build({**genes, name: row}))
        return costs["macs"], costs["params"]

    for v in space.variables:
        candidates: Iterable[Value] = options[v.name][::-1]
        for place in range(v.count):
            genes[v.name][place] = pick(
                candidates, key=lambda option: cost_with(v.name, place, option)
            )
    return space.build(genes)
