"""Layers whose weights hold every narrower version of themselves: the leading channels.

The weights stay where a plain layer has them, under `conv` and `bn`, so that a supernet keeps the
names of its checkpoints. How many channels there are is told by the input, or by an argument;
nothing is remembered.
Shapes: N = images, C = input channels, D = output channels, H and W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def leading(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return a view of the first `sizes` entries along the first dimensions."""
    for dim, size in enumerate(sizes):
        if size < tensor.shape[dim]:
            tensor = tensor.narrow(dim, 0, size)
    return tensor


class ElasticPointwise(nn.Module):
    """A 1x1 convolution without bias, of which the leading inputs and outputs are used."""

    def __init__(self, max_in: int, max_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(max_in, max_out, 1, bias=False)

    def forward(self, x_NCHW: Tensor, out_channels: int) -> Tensor:
        """Return a tensor (N, D, H, W)."""
        return F.conv2d(x_NCHW, leading(self.conv.weight, (out_channels, x_NCHW.shape[1])))


class ElasticBatchNorm(nn.Module):
    """A batch norm of which the leading channels are used, and in training updated in place."""

    def __init__(self, max_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(max_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        bn, channels = self.bn, (x_NCHW.shape[1],)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        assert bn.num_batches_tracked is not None
        assert bn.momentum is not None
        if self.training:
            bn.num_batches_tracked.add_(1)
        return F.batch_norm(
            x_NCHW,
            leading(bn.running_mean, channels),
            leading(bn.running_var, channels),
            leading(bn.weight, channels),
            leading(bn.bias, channels),
            self.training,
            bn.momentum,
            bn.eps,
        )
