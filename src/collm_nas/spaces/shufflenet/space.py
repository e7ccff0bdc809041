"""SPOS's ShuffleNet space (Guo et al., 2020, https://arxiv.org/abs/1904.00420): 4 units, 20 blocks.

A chain of choice blocks: in each one of three shuffle units (Ma et al., 2018,
https://arxiv.org/abs/1807.11164), which differ in kernel size, or an Xception unit. Widths and
depth are fixed, so that multiply-adds and parameters are sums of one term per block.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Side
from collm_nas.spaces.additive import AdditiveCost
from collm_nas.spaces.base import (
    BYTES_PER_VALUE,
    Bounds,
    Costs,
    SearchSpace,
    Variable,
    describe,
    first_within,
)
from collm_nas.spaces.shufflenet.costs import (
    CHOICES,
    Conv,
    blocks_of,
    convs_of,
    halved,
)
from collm_nas.spaces.shufflenet.published import PUBLISHED


@checked
class ShuffleNet(SearchSpace):
    """Chains of shuffle and Xception units; the defaults are the published space.

    Args:
        repeats: blocks of each stage; the first one halves the image.
        channels: of the stem, of each stage, and of the last convolution.
        num_classes: what the network tells apart.
        resolution: side of the images, in pixels.
    """

    name = "shufflenet"
    supernet = "collm_nas.spaces.shufflenet.supernet:SPOSSupernet"
    published = PUBLISHED

    def __init__(
        self,
        repeats: Annotated[Sequence[Annotated[int, Ge(1), Le(100)]], MinLen(1)] = (4, 4, 8, 4),
        channels: Sequence[Annotated[int, Ge(1), Le(65_536)]] = (16, 64, 160, 320, 640, 1024),
        num_classes: Count = 1000,
        resolution: Side = 224,
    ) -> None:
        _check(repeats, channels)
        self.repeats = tuple(repeats)
        self.channels = tuple(channels)
        self.num_classes = num_classes
        self.side = resolution
        stem_side = halved(resolution)
        self.blocks = blocks_of(repeats, self.channels, stem_side)
        super().__init__([Variable("ops", (*CHOICES,), len(self.blocks))])
        stem, *_, widest, last = self.channels
        pooled = self.blocks[-1].side
        fixed = [Conv(3, stem, 3, resolution, stem_side), Conv(widest, last, 1, pooled, pooled)]
        units = [[convs_of(block, choice) for choice in CHOICES] for block in self.blocks]
        self.additive = {
            metric: AdditiveCost(
                sum(getattr(conv, metric) for conv in fixed) + last * num_classes,
                tuple(tuple(sum(getattr(c, metric) for c in u) for u in row) for row in units),
            )
            for metric in ("macs", "params")
        }
        self._activations = [[max(c.activations for c in u) for u in row] for row in units]
        self._fixed_activations = max(*(c.activations for c in fixed), last + num_classes)

    @property
    def identity(self) -> str:
        """Name what the weights of a supernet depend on: blocks of each stage, widths, classes."""
        layout = [".".join(map(str, self.repeats)), ".".join(map(str, self.channels))]
        return f"{self.name}-{'-'.join(layout)}-c{self.num_classes}"

    def resolution(self, arch: Architecture) -> int:
        """Return the side of the images, in pixels; it is the same for all architectures."""
        return self.side

    def key(self, arch: Architecture) -> str:
        """Return one digit for each block: `21012020202300003233`."""
        return "".join(map(str, arch["ops"]))

    def block_names(self, arch: Architecture) -> list[str]:
        """See `SearchSpace`: place and choice, e.g. `0:2`."""
        return [f"{place}:{op}" for place, op in enumerate(arch["ops"])]

    def costs(self, arch: Architecture) -> Costs:
        """Return the exact costs of the stand-alone network, whose batch norms are affine.

        Convolutions and the linear layer are counted as multiply-adds; all else is free.
        """
        ops: Any = arch["ops"]
        return {metric: cost.total(ops) for metric, cost in self.additive.items()}

    def activation_bytes(self, arch: Architecture) -> int:
        units = zip(self._activations, arch["ops"], strict=True)
        return BYTES_PER_VALUE * max(self._fixed_activations, *(row[int(op)] for row, op in units))

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        """See `SearchSpace`: exact, since costs are sums of one term per block."""
        cost = self.additive.get(metric)
        return (cost.smallest, cost.largest) if cost else None

    def count_within(self, metric: str, minimum: float | None, maximum: float | None) -> int:
        """Count, exactly, the architectures whose cost lies in the band; `None` is an open end."""
        return self.additive[metric].count(minimum, maximum)

    def sample_within(self, rng: random.Random, limits: Sequence[Bounds]) -> Architecture:
        """See `SearchSpace.sample_within`: exact for one limit, and no draw is in vain.

        Several limits: draws within the one that leaves least, rejected by the others.
        """
        if not limits:
            return self.sample(rng)
        self.refuse_impossible(limits)
        left = [self.count_within(*limit) for limit in limits]
        if 0 in left:
            raise NothingFeasible(
                f"no architecture of {self.name} has {describe(limits[left.index(0)])}, though "
                "some have less and some more. Widen the limit (config key: "
                f"limits.{limits[left.index(0)][0]})"
            )
        metric, minimum, maximum = limits[left.index(min(left))]
        cost = self.additive[metric]
        return first_within(
            lambda: self.build({"ops": cost.draw(rng, minimum, maximum)}), self.costs, limits
        )

    def blocks_where(self, choice: int, extreme: Callable[[Iterable[int]], int]) -> list[int]:
        """List the blocks in which `choice` takes the least (`min`) or the most multiply-adds."""
        rows = self.additive["macs"].table
        return [i for i, row in enumerate(rows) if row[choice] == extreme(row)]


def _check(repeats: Sequence[int], channels: Sequence[int]) -> None:
    problems = []
    if len(channels) != len(repeats) + 2:
        problems.append(
            f"searchspace.channels must name the stem, {len(repeats)} stages (as many as "
            f"searchspace.repeats) and the last convolution, got {list(channels)}"
        )
    stages = list(channels[:-1])
    if any(width % 2 for width in stages) or any(b <= a for a, b in pairwise(stages)):
        problems.append(f"searchspace.channels must be even and grow by stage, got {stages}")
    if problems:
        raise ValueError("\n".join(problems))
