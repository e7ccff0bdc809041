"""Exact costs of once-for-all MobileNetV3 subnets, summed from a table per resolution.

Two conventions: `macs` and `params` are what the network really does and holds; the tutorial
table is what the original's `FLOPsTable` (with thop) reports, the convention behind the OFA rows
of CoLLM-NAS (https://arxiv.org/abs/2509.26037). They differ by up to 7 percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collm_nas.core.architecture import Value
from collm_nas.spaces.base import largest_pair
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
    """Costs of a network, or of a part of it."""

    macs: int
    params: int
    tutorial: int  # what the tutorial's table says
    activations: int  # the most values that a layer reads and writes


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
            costs: dict[tuple[Value, Value], Counts] = {(0, 0): Counts(0, 0, 0, 0)}
            for k in kernels:
                for e in expansions:
                    macs, params, activations = _block(slot, side, k, e)
                    tutorial = _tutorial_block(net, slot, nominal, k, e)
                    costs[k, e] = Counts(macs, params, tutorial, activations)
            blocks.append(costs)
            if slot.stride == 2:
                side, nominal = _halve(side), nominal // 2
        macs, params, activations = _fixed(net, resolution, stem_side, side)
        tutorial = _tutorial_fixed(net, resolution, nominal)
        return cls(Counts(macs, params, tutorial, activations), tuple(blocks))

    def total(self, genes: Iterable[tuple[Value, Value]]) -> Counts:
        """Return the costs of a network, given the kernel and expansion of each of its blocks."""
        macs, params, tutorial, most = self.fixed
        for costs, gene in zip(self.blocks, genes, strict=True):
            block_macs, block_params, block_tutorial, activations = costs[gene]
            macs += block_macs
            params += block_params
            tutorial += block_tutorial
            if activations > most:  # a call of max would take longer than all the rest
                most = activations
        return Counts(macs, params, tutorial, most)


def _halve(side: int) -> int:
    """Return the output side of a padded convolution of stride 2."""
    return (side - 1) // 2 + 1


def _block(slot: BlockSlot, side: int, kernel: int, expansion: int) -> tuple[int, int, int]:
    """Return multiply-adds, parameters and activations."""
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
    channels = ((slot.in_channels, side), (hidden, side), (hidden, out_side))
    values = [c * size**2 for c, size in (*channels, (slot.out_channels, out_side))]
    return macs, params, largest_pair(values)


def _fixed(net: Skeleton, resolution: int, stem_side: int, side: int) -> tuple[int, int, int]:
    """Return those of stem, first block and head; `side` is that of the last block's output."""
    stem, first, *_, last, expand, mix = net.widths
    weights = 27 * stem + 9 * stem + stem * first  # the stem; block 0, depth-wise and 1x1
    head = expand * mix + mix * net.num_classes
    macs = stem_side**2 * weights + side**2 * last * expand + head
    params = weights + last * expand + head + net.num_classes + 2 * (2 * stem + first + expand)
    at_stem = [3 * resolution**2, *(c * stem_side**2 for c in (stem, stem, first))]
    layers = (at_stem, [last * side**2, expand * side**2], [expand, mix, net.num_classes])
    return macs, params, max(map(largest_pair, layers))


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
