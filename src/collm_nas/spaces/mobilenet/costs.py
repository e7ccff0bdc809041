"""Exact costs of once-for-all MobileNetV3 subnets, summed from a table per resolution.

Two conventions: `macs` and `params` are what the network really does and holds; the tutorial
table is what the original's `FLOPsTable` (with thop) reports, the convention behind the OFA rows
of CoLLM-NAS (https://arxiv.org/abs/2509.26037). They differ by up to 7 percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import NamedTuple

from collm_nas.core.architecture import Value
from collm_nas.spaces.activations import largest_pair
from collm_nas.spaces.mobilenet.skeleton import (
    BlockSlot,
    Skeleton,
    hidden_width,
    squeeze_width,
)

TUTORIAL_WIDTH = 1.2
TUTORIAL_RESOLUTIONS = (160, 176, 192, 208, 224)  # pixels
BATCH_NORM = 4  # operations per value of a batch norm with weights, as thop counts them


class Counts(NamedTuple):
    """Multiply-adds and parameters as they are, and what the tutorial's table says."""

    macs: int
    params: int
    tutorial: int


BlockActivations = Mapping[tuple[Value, Value], int]  # values; by kernel and expansion
BlockCosts = Mapping[tuple[Value, Value], Counts]  # by kernel and expansion; an inactive block 0, 0


@dataclass(frozen=True)
class CostTable:
    """The costs at one resolution: of what is fixed, and of each block by its choices."""

    fixed: Counts
    blocks: tuple[BlockCosts, ...]

    @classmethod
    def of(
        cls, net: Skeleton, resolution: int, kernels: Sequence[int], expansions: Sequence[int]
    ) -> CostTable:
        """Tabulate all costs of `net` for images of `resolution` pixels."""
        stem_side = side = _halve(resolution)
        nominal = resolution // 2  # the tutorial halves with truncation
        blocks: list[BlockCosts] = []
        for slot in net.slots:
            costs: dict[tuple[Value, Value], Counts] = {(0, 0): Counts(0, 0, 0)}
            for k in kernels:
                for e in expansions:
                    exact = _block(slot, side, k, e)
                    costs[k, e] = Counts(*exact, _tutorial_block(net, slot, nominal, k, e))
            blocks.append(costs)
            if slot.stride == 2:
                side, nominal = _halve(side), nominal // 2
        fixed = Counts(*_fixed(net, stem_side, side), _tutorial_fixed(net, resolution, nominal))
        return cls(fixed, tuple(blocks))

    def total(self, genes: Sequence[tuple[Value, Value]]) -> Counts:
        """Sum over a network, given the kernel and expansion of each of its blocks."""
        macs, params, tutorial = self.fixed
        for costs, gene in zip(self.blocks, genes, strict=True):
            block = costs[gene]
            macs += block[0]
            params += block[1]
            tutorial += block[2]
        return Counts(macs, params, tutorial)


@dataclass(frozen=True)
class ActivationTable:
    """At one resolution, the most values that a layer reads and writes: outside and in blocks."""

    fixed: int
    blocks: tuple[BlockActivations, ...]

    @classmethod
    def of(
        cls, net: Skeleton, resolution: int, kernels: Sequence[int], expansions: Sequence[int]
    ) -> ActivationTable:
        """Tabulate the layers of `net` for images of `resolution` pixels."""
        stem_side = side = _halve(resolution)
        blocks: list[BlockActivations] = []
        for slot in net.slots:
            out_side = _halve(side) if slot.stride == 2 else side
            values = {e: _block_activations(slot, side, out_side, e) for e in expansions}
            row: dict[tuple[Value, Value], int] = {(0, 0): 0}
            blocks.append(row | {(k, e): values[e] for k in kernels for e in expansions})
            side = out_side
        stem, first, *_, last, expand, mix = net.widths
        at_stem = [3 * resolution**2, *(c * stem_side**2 for c in (stem, stem, first))]
        head = [expand, mix, net.num_classes]
        fixed = (at_stem, [last * side**2, expand * side**2], head)
        return cls(max(map(largest_pair, fixed)), tuple(blocks))

    def most(self, genes: Sequence[tuple[Value, Value]]) -> int:
        """Return the maximum over a network, given kernel and expansion of each of its blocks."""
        return max(self.fixed, *map(getitem, self.blocks, genes))


def _block_activations(slot: BlockSlot, side: int, out_side: int, expansion: int) -> int:
    hidden = hidden_width(slot.in_channels, expansion)
    before, after = side**2, out_side**2
    return largest_pair(
        [slot.in_channels * before, hidden * before, hidden * after, slot.out_channels * after]
    )


def _halve(side: int) -> int:
    """Return the output side of a padded convolution of stride 2."""
    return (side - 1) // 2 + 1


def _block(slot: BlockSlot, side: int, kernel: int, expansion: int) -> tuple[int, int]:
    hidden = hidden_width(slot.in_channels, expansion)
    out_side = _halve(side) if slot.stride == 2 else side
    expand, depthwise = slot.in_channels * hidden, kernel**2 * hidden
    project = hidden * slot.out_channels
    macs = side**2 * expand + out_side**2 * (depthwise + project)
    params = expand + depthwise + project + 2 * (2 * hidden + slot.out_channels)
    if slot.squeeze_excite:
        squeeze = squeeze_width(hidden)
        macs += 2 * hidden * squeeze
        params += 2 * hidden * squeeze + hidden + squeeze
    return macs, params


def _fixed(net: Skeleton, stem_side: int, last_side: int) -> tuple[int, int]:
    stem, first, *_, last, expand, mix = net.widths
    at_stem = 27 * stem + 9 * stem + stem * first  # the stem; block 0, depth-wise and 1x1
    head = expand * mix + mix * net.num_classes
    macs = stem_side**2 * at_stem + last_side**2 * last * expand + head
    params = at_stem + last * expand + head + net.num_classes
    return macs, params + 2 * (2 * stem + first + expand)


def _tutorial_width(base: int) -> int:
    return round(base * TUTORIAL_WIDTH)


def _tutorial_block(net: Skeleton, slot: BlockSlot, side: int, kernel: int, expansion: int) -> int:
    before, after = map(_tutorial_width, net.base_widths[slot.stage + 1 : slot.stage + 3])
    in_channels = before if slot.position == 0 else after
    hidden = in_channels * expansion
    inputs, outputs = side**2, _halve(side) ** 2 if slot.stride == 2 else side**2
    convolutions = inputs * in_channels * hidden + outputs * hidden * (kernel**2 + after)
    norms = BATCH_NORM * (inputs * hidden + outputs * (hidden + after))
    gate = 2 * hidden * squeeze_width(hidden) if slot.squeeze_excite else 0
    return convolutions + norms + gate


def _tutorial_fixed(net: Skeleton, resolution: int, last_side: int) -> int:
    stem, first, *_, last, expand, mix = map(_tutorial_width, net.base_widths)
    images, classes = _tutorial_width(3), _tutorial_width(net.num_classes)
    stem_outputs, block_outputs = _halve(resolution) ** 2, (resolution // 2) ** 2
    return (
        stem_outputs * stem * (9 * images + BATCH_NORM)
        + block_outputs * (9 * stem + stem * first + BATCH_NORM * (stem + first))
        + last_side**2 * expand * (last + BATCH_NORM)
        + mix * (expand + BATCH_NORM)
        + mix * classes
    )
