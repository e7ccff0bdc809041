"""A network as a sum of blocks: their names, and few architectures that have all of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.shufflenet.space import ShuffleNet


def block_names(space: SearchSpace, arch: Architecture) -> list[str]:
    """Name the blocks of `arch` from input to output; equal names take equally long.

    Raises:
        ValueError: the networks of the space are no chain of blocks that are chosen one by one.
    """
    match space:
        case ShuffleNet():
            return [f"{place}:{op}" for place, op in enumerate(arch["ops"])]
        case MobileNet():
            r = space.resolution(arch)
            return [
                f"r{r}/{b.slot.index}:k{b.kernel}-e{b.expansion}" for b in space.active_blocks(arch)
            ]
    raise ValueError(f"no table of blocks for {space.name}: for shufflenet and mobilenet only")


def covering(space: SearchSpace) -> Iterator[Architecture]:
    """Yield architectures of equal choices throughout: together they have every block."""
    names = [v.name for v in space.variables]
    options = [(max(v.options),) if v.name == "d" else v.options for v in space.variables]
    for chosen in product(*options):
        genes = zip(names, chosen, space.variables, strict=True)
        yield space.build({name: [option] * v.count for name, option, v in genes})
