"""SPOS's ShuffleNet space (Guo et al., 2020, https://arxiv.org/abs/1904.00420): 4 units, 20 blocks.

A chain of choice blocks: in each one of three shuffle units (Ma et al., 2018,
https://arxiv.org/abs/1807.11164), which differ in kernel size, or an Xception unit. Widths and
depth are fixed, so that multiply-adds and parameters are sums of one term per block.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Seed, Side
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
MEANINGS = (
    *(
        f"shuffle unit: 1x1 convolution, {k}x{k} depthwise convolution, 1x1 convolution"
        for k in KERNELS
    ),
    "Xception unit: three times a 3x3 depthwise convolution and a 1x1 convolution; the deepest "
    "branch, with the most non-linearities",
)


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
        names: `official` explains the units to a model; `opaque` hides them behind letters.
        order_seed: see `SearchSpace`.
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
        names: Literal["official", "opaque"] = "official",
        order_seed: Seed | None = None,
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
        super().__init__([Variable("ops", (0, 1, 2, 3), len(self.blocks))], names, order_seed)
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

    # -- what a language model reads and writes ---------------------------------------------

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes, or its bare list; see `SearchSpace.decode`."""
        return super().decode({self._word.label: answer} if isinstance(answer, list) else answer)

    def knowledge(self) -> str:
        """Tell the chain, its units, what they cost and how to write one."""
        seed = self.order_seed
        told = self._word.told(seed)
        example = json.dumps(self.encode(self.sample(random.Random(f"example/{seed}"))))
        meanings = self.names == "official"
        choices = [f"- `{x}`" + (f": {MEANINGS[int(x)]}" if meanings else "") for x in told]
        return "\n".join(
            [
                "## Search Space",
                f"A network for {self.side}x{self.side} images is a chain: a fixed "
                f"convolution, {len(self.blocks)} blocks, a fixed convolution, average pooling and "
                f"a linear classifier. Widths and depth are fixed. In each block one of "
                f"{len(told)} units is chosen, and every combination is legal:",
                *choices,
                "",
                self._structure(),
                *([self._prices([int(x) for x in told])] if meanings else []),
                "",
                "## Representation Format",
                f'A network is a JSON object with the one key "{self._word.label}": a list of '
                f"{len(self.blocks)} choices, one for each block, from the input to the output.",
                f"Example (it shows the format, not a good network): {example}",
            ]
        )

    @property
    def _word(self) -> Any:
        return self.vocabulary["ops"]

    def _structure(self) -> str:
        halving = [i for i, block in enumerate(self.blocks) if block.stride == 2]
        lines = [
            f"The first block of each stage (blocks {', '.join(map(str, halving))}, counted from "
            "0) has stride 2: it halves the image, widens the network, and works on all channels. "
            "In all other blocks one half of the channels, every second one, passes unchanged and "
            "the unit works on the other half.",
            "",
            "| blocks | channels | output |",
            "|---|---|---|",
        ]
        for _, group in groupby(enumerate(self.blocks), key=lambda pair: pair[1].stage):
            numbers, blocks = zip(*group, strict=True)
            side = blocks[0].side
            lines.append(f"| {_ranges(numbers)} | {blocks[0].channels_out} | {side}x{side} |")
        return "\n".join(lines)

    def _prices(self, told: Sequence[int]) -> str:
        """Tabulate the multiply-adds; which unit is the dearest depends on the stride."""
        macs = self.additive["macs"]
        lines = [
            "",
            "Which unit is the cheapest depends on the block: the Xception unit "
            f"(`{XCEPTION}`) is {self._xception_rank()}. Multiply-adds in millions:",
            "",
            f"| each of blocks | {' | '.join(f'`{op}`' for op in told)} | cheapest to dearest |",
            f"|{'---|' * (len(told) + 2)}",
        ]
        for row, group in groupby(range(len(macs.table)), key=macs.table.__getitem__):
            prices = " | ".join(f"{row[op] / 1e6:.3g}" for op in told)
            ranking = ", ".join(map(str, sorted(told, key=row.__getitem__)))
            lines.append(f"| {_ranges([*group])} | {prices} | {ranking} |")
        lines.append(
            f"A network costs {macs.base / 1e6:,.4g}M plus the sum over its blocks: from "
            f"{macs.smallest / 1e6:,.4g}M to {macs.largest / 1e6:,.4g}M in all."
        )
        return "\n".join(lines)

    def _xception_rank(self) -> str:
        """Say where the Xception unit is the cheapest and where the dearest."""
        rows = self.additive["macs"].table
        cheapest = [i for i, row in enumerate(rows) if row[XCEPTION] == min(row)]
        dearest = [i for i, row in enumerate(rows) if row[XCEPTION] == max(row)]
        places = [("cheapest", cheapest), ("most expensive", dearest)]
        return " and ".join(
            f"the {what} in blocks {_ranges(blocks)}" for what, blocks in places if blocks
        )

    def _fixed(self) -> tuple[list[Conv], int]:
        """Return the convolutions that all networks have, and the weights of the classifier."""
        *_, widest, last = self.channels
        stem = Conv(3, self.channels[0], 3, _halve(self.side))
        return [stem, Conv(widest, last, 1, self.blocks[-1].side)], last * self.num_classes


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers in short: `1-3, 5, 7-8`."""
    runs = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    ends = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in ends)


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
