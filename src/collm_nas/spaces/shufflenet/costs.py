"""SPOS's chain of blocks, and the convolutions of which the exact costs of a network are sums.

Source: Guo et al., 2020, https://arxiv.org/abs/1904.00420, and its code,
https://github.com/megvii-model/SinglePathOneShot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KERNELS = (3, 5, 7)  # of the shuffle units, choices 0 to 2
XCEPTION = 3
CHOICES = range(4)


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

    inputs: int  # channels
    outputs: int
    kernel: int
    side_in: int  # pixels
    side: int
    depthwise: bool = False

    @property
    def weights(self) -> int:
        """Count the weights of the convolution."""
        return (1 if self.depthwise else self.inputs) * self.outputs * self.kernel**2

    @property
    def params(self) -> int:
        """Count the weights, and the scale and shift of the batch norm."""
        return self.weights + 2 * self.outputs

    @property
    def macs(self) -> int:
        """Count the multiply-adds; those of the batch norm are not counted."""
        return self.weights * self.side**2

    @property
    def activations(self) -> int:
        """Count the values that are read and written."""
        return self.inputs * self.side_in**2 + self.outputs * self.side**2


def blocks_of(repeats: Sequence[int], channels: Sequence[int], side: int) -> tuple[Block, ...]:
    """Lay out the chain; `side` is that of the stem's output, in pixels."""
    blocks = []
    width = channels[0]
    for stage, (count, channels_out) in enumerate(zip(repeats, channels[1:-1], strict=True)):
        for index in range(count):
            smaller = side if index else halved(side)
            blocks.append(Block(stage, 1 if index else 2, width, channels_out, smaller, side))
            width, side = channels_out, smaller
    return tuple(blocks)


def convs_of(block: Block, choice: int) -> list[Conv]:
    """List the convolutions of one unit, the projection of a block of stride 2 included."""
    inputs, hidden, outputs = block.inputs, block.hidden, block.outputs
    before, side = block.side_in, block.side
    kernel = 3 if choice == XCEPTION else KERNELS[choice]
    if choice == XCEPTION:
        branch = [
            Conv(inputs, inputs, 3, before, side, depthwise=True),
            Conv(inputs, hidden, 1, side, side),
            Conv(hidden, hidden, 3, side, side, depthwise=True),
            Conv(hidden, hidden, 1, side, side),
            Conv(hidden, hidden, 3, side, side, depthwise=True),
            Conv(hidden, outputs, 1, side, side),
        ]
    else:
        branch = [
            Conv(inputs, hidden, 1, before, before),
            Conv(hidden, hidden, kernel, before, side, depthwise=True),
            Conv(hidden, outputs, 1, side, side),
        ]
    if block.stride == 2:
        branch.append(Conv(inputs, inputs, kernel, before, side, depthwise=True))
        branch.append(Conv(inputs, inputs, 1, side, side))
    return branch


def halved(side: int) -> int:
    """Return the side of the output of a padded convolution of stride 2."""
    return (side - 1) // 2 + 1
