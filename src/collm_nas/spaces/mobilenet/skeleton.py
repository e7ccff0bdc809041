"""What is fixed in a once-for-all MobileNetV3: stages, strides, activations, widths.

The search space, its costs and the supernet build on the same numbers, so they stand here once.
Source: Cai et al., 2020, https://arxiv.org/abs/1908.09791, and its code,
https://github.com/mit-han-lab/once-for-all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

# Channels before the width multiplier: stem, block 0, five stages, final expansion, feature mix.
BASE_WIDTHS = (16, 16, 24, 40, 80, 112, 160, 960, 1280)

Activation = Literal["relu", "h_swish"]


@dataclass(frozen=True)
class Stage:
    """What of a stage is not searched; only its first block has the stride."""

    stride: int
    activation: Activation
    squeeze_excite: bool


STAGES = (
    Stage(2, "relu", False),
    Stage(2, "relu", True),
    Stage(2, "h_swish", False),
    Stage(1, "h_swish", True),
    Stage(2, "h_swish", True),
)


@dataclass(frozen=True)
class BlockSlot:
    """The place of one searchable block: all of it but its kernel size and its expansion."""

    index: int  # among all searchable blocks
    stage: int
    position: int  # in its stage; the block is active iff this is less than the stage's depth
    in_channels: int
    out_channels: int
    stride: int
    activation: Activation
    squeeze_excite: bool

    @property
    def has_shortcut(self) -> bool:
        """Tell whether the input is added to the output."""
        return self.stride == 1 and self.in_channels == self.out_channels


class Block(NamedTuple):
    """A searchable block and what was chosen for it."""

    slot: BlockSlot
    kernel: int
    expansion: int

    @property
    def hidden(self) -> int:
        """The channels between its two 1x1 convolutions."""
        return hidden_width(self.slot.in_channels, self.expansion)


@dataclass(frozen=True)
class Skeleton:
    """A network without the choices.

    `base_widths` are as in `BASE_WIDTHS`, with one to five stages.
    """

    base_widths: tuple[int, ...]
    width: float  # the multiplier
    num_classes: int
    max_depth: int  # blocks per stage

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The channels of all layers, in the order of `base_widths`."""
        return tuple(round_width(base * self.width) for base in self.base_widths)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, first to last."""
        return STAGES[: len(self.base_widths) - 4]

    @cached_property
    def slots(self) -> tuple[BlockSlot, ...]:
        """The places of all searchable blocks, first to last."""
        return tuple(
            BlockSlot(
                index=stage * self.max_depth + position,
                stage=stage,
                position=position,
                in_channels=self.widths[stage + (2 if position else 1)],
                out_channels=self.widths[stage + 2],
                stride=1 if position else fixed.stride,
                activation=fixed.activation,
                squeeze_excite=fixed.squeeze_excite,
            )
            for stage, fixed in enumerate(self.stages)
            for position in range(self.max_depth)
        )


def round_width(width: float) -> int:
    """Round to a multiple of 8, at least 8, and never down by more than a tenth."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def hidden_width(in_channels: int, expansion: int) -> int:
    """Return the width of a block between its two 1x1 convolutions."""
    return round_width(in_channels * expansion)


def squeeze_width(hidden: int) -> int:
    """Return the width of the bottleneck of squeeze-and-excitation."""
    return round_width(hidden // 4)
