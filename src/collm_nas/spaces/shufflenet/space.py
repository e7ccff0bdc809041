"""SPOS's ShuffleNet space (Guo et al., 2020, https://arxiv.org/abs/1904.00420): 4 units, 20 blocks.

A chain of choice blocks: in each one of three shuffle units (Ma et al., 2018,
https://arxiv.org/abs/1807.11164), which differ in kernel size, or an Xception unit. Widths and
depth are fixed, so that multiply-adds and parameters are sums of one term per block.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
    largest_pair,
)
from collm_nas.spaces.shufflenet.published import PUBLISHED

KERNELS = (3, 5, 7)  # of the shuffle units, choices 0 to 2
XCEPTION = 3


@dataclass(frozen=True)
class Block:
    """One choice block: what all of its choices have in common.

    A block of stride 1 passes half of its channels on untouched and sends the other half through
    the branch; a block of stride 2 sends all of them through the branch and through a projection.
    """

    stage: int
    stride: int
    channels_in: int
    channels_out: int
    side: int  # of the output, in pixels
    side_in: int

    @property
    def inputs(self) -> int:
        """Return the channels that enter the branch."""
        return self.channels_in if self.stride == 2 else self.channels_in // 2

    @property
    def hidden(self) -> int:
        """Return the channels inside the branch."""
        return self.channels_out // 2

    @property
    def outputs(self) -> int:
        """Return the channels that leave the branch."""
        return self.channels_out - self.inputs


@dataclass(frozen=True)
class Conv:
    """A convolution with its batch norm, as far as it costs something."""

    inputs: int  # channels that each output channel sees
    outputs: int
    kernel: int
    side: int

    @property
    def params(self) -> int:
        """Count the weights, and the scale and shift of the batch norm."""
        return self.inputs * self.outputs * self.kernel**2 + 2 * self.outputs

    @property
    def macs(self) -> int:
        """Count the multiply-adds; those of the batch norm are not counted."""
        return self.inputs * self.outputs * self.kernel**2 * self.side**2


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
        self.blocks = _blocks(repeats, self.channels, _halve(resolution))
        super().__init__([Variable("ops", (0, 1, 2, 3), len(self.blocks))])
        fixed, classifier = self._fixed()
        convs = [[_convs(block, choice) for choice in range(4)] for block in self.blocks]
        self.additive = {
            "macs": AdditiveCost(
                sum(conv.macs for conv in fixed) + classifier,
                tuple(tuple(sum(c.macs for c in unit) for unit in block) for block in convs),
            ),
            "params": AdditiveCost(
                sum(conv.params for conv in fixed) + classifier,
                tuple(tuple(sum(c.params for c in unit) for unit in block) for block in convs),
            ),
        }

        self._activations = [[_activations(b, choice) for choice in range(4)] for b in self.blocks]
        stem, *_, widest, last = self.channels
        image, pooled = 3 * resolution**2, self.blocks[-1].side ** 2
        self._fixed_activations = max(
            image + stem * _halve(resolution) ** 2, (widest + last) * pooled, last + num_classes
        )

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
        """See `SearchSpace`."""
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

    def _fixed(self) -> tuple[list[Conv], int]:
        """Return the convolutions that all networks have, and the weights of the classifier."""
        *_, widest, last = self.channels
        stem = Conv(3, self.channels[0], 3, _halve(self.side))
        return [stem, Conv(widest, last, 1, self.blocks[-1].side)], last * self.num_classes


def _halve(side: int) -> int:
    return (side - 1) // 2 + 1


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


def _blocks(repeats: Sequence[int], channels: Sequence[int], side: int) -> tuple[Block, ...]:
    """Lay out the chain; `side` is that of the stem's output."""
    blocks = []
    width = channels[0]
    for stage, (count, channels_out) in enumerate(zip(repeats, channels[1:-1], strict=True)):
        for index in range(count):
            stride = 1 if index else 2
            smaller = side if index else _halve(side)
            blocks.append(Block(stage, stride, width, channels_out, smaller, side))
            width, side = channels_out, smaller
    return tuple(blocks)


def _convs(block: Block, choice: int) -> list[Conv]:
    """List the convolutions of one unit, the projection of a block of stride 2 included."""
    inputs, hidden, outputs, side = block.inputs, block.hidden, block.outputs, block.side
    kernel = 3 if choice == XCEPTION else KERNELS[choice]
    if choice == XCEPTION:
        branch = [
            Conv(1, inputs, 3, side),
            Conv(inputs, hidden, 1, side),
            Conv(1, hidden, 3, side),
            Conv(hidden, hidden, 1, side),
            Conv(1, hidden, 3, side),
            Conv(hidden, outputs, 1, side),
        ]
    else:
        branch = [
            Conv(inputs, hidden, 1, block.side_in),
            Conv(1, hidden, kernel, side),
            Conv(hidden, outputs, 1, side),
        ]
    projection = [Conv(1, inputs, kernel, side), Conv(inputs, inputs, 1, side)]
    return branch + (projection if block.stride == 2 else [])


def _activations(block: Block, choice: int) -> int:
    """Return the most values that a layer of a unit reads and writes, branch and projection."""
    before, after = block.side_in**2, block.side**2
    inputs, hidden, outputs = block.inputs, block.hidden, block.outputs
    if choice == XCEPTION:
        branch = [inputs * before, inputs * after, *[hidden * after] * 4, outputs * after]
    else:
        branch = [inputs * before, hidden * before, hidden * after, outputs * after]
    projection = [inputs * before, inputs * after, inputs * after]
    return max(largest_pair(branch), largest_pair(projection) if block.stride == 2 else 0)
