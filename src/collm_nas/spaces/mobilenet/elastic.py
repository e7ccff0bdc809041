"""Layers whose weights hold every narrower version of themselves: once-for-all's elastic block.

A narrower layer has the leading channels, a smaller kernel is a transform of the largest. The
weights stay where the original has them (https://github.com/mit-han-lab/once-for-all), under `conv`
and `bn` of a layer. How many channels there are is told by the input, or by an argument; nothing
is remembered.
Shapes: N = images, C = input channels, D = output channels, H and W = pixels, K = kernel size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collm_nas.spaces.mobilenet.network import ACTIVATIONS, SqueezeExcite
from collm_nas.spaces.mobilenet.skeleton import Block, BlockSlot, hidden_width, squeeze_width


class ElasticBlock(nn.Module):
    """An inverted-residual block with elastic kernel size and width."""

    def __init__(self, slot: BlockSlot, kernels: Sequence[int], max_expansion: int) -> None:
        super().__init__()
        self.conv = MBConv(slot, kernels, hidden_width(slot.in_channels, max_expansion))

    def forward(self, x_NCHW: Tensor, block: Block) -> Tensor:
        """Return a tensor (N, C', H', W')."""
        y_NCHW: Tensor = self.conv(x_NCHW, block)
        return y_NCHW.add_(x_NCHW) if block.slot.has_shortcut else y_NCHW

    def plain_weights(self, kernel: int) -> Iterator[tuple[str, Tensor]]:
        """Iterate over the weights at full width, by their names in a plain block."""
        for name, tensor in self.state_dict().items():
            if name == "conv.depth_conv.conv.conv.weight":
                tensor = self.conv.depth_conv.conv.kernel(kernel, tensor.shape[0])
            yield re.sub(r"\.(conv|bn)\.\1\.", r".\1.", name), tensor


class MBConv(nn.Module):
    """The block without its shortcut; the names below it are those of the original's weights."""

    def __init__(self, slot: BlockSlot, kernels: Sequence[int], widest: int) -> None:
        super().__init__()
        self.inverted_bottleneck = _ConvBN(ElasticPointwise(slot.in_channels, widest))
        self.depth_conv = _DepthConv(slot, kernels, widest)
        self.point_linear = _ConvBN(ElasticPointwise(widest, slot.out_channels))
        self.act = ACTIVATIONS[slot.activation](inplace=True)

    def forward(self, x_NCHW: Tensor, block: Block) -> Tensor:
        """Return a tensor (N, C', H', W')."""
        x_NCHW = self.act(self.inverted_bottleneck(x_NCHW, block.hidden))
        x_NCHW = self.depth_conv(x_NCHW, block.kernel)
        out: Tensor = self.point_linear(x_NCHW, block.slot.out_channels)
        return out


class _ConvBN(nn.Module):
    def __init__(self, conv: ElasticPointwise) -> None:
        super().__init__()
        self.conv = conv
        self.bn = ElasticBatchNorm(conv.conv.out_channels)

    def forward(self, x_NCHW: Tensor, out_channels: int) -> Tensor:
        out: Tensor = self.bn(self.conv(x_NCHW, out_channels))
        return out


class _DepthConv(nn.Module):
    def __init__(self, slot: BlockSlot, kernels: Sequence[int], widest: int) -> None:
        super().__init__()
        self.conv = ElasticDepthwise(widest, kernels, slot.stride)
        self.bn = ElasticBatchNorm(widest)
        self.act = ACTIVATIONS[slot.activation](inplace=True)
        self.se = ElasticSqueezeExcite(widest) if slot.squeeze_excite else None

    def forward(self, x_NCHW: Tensor, kernel: int) -> Tensor:
        x_NCHW = self.act(self.bn(self.conv(x_NCHW, kernel)))
        return x_NCHW if self.se is None else self.se(x_NCHW)


class ElasticDepthwise(nn.Module):
    """A depth-wise convolution whose smaller kernels are learned transforms of the largest.

    The next smaller kernel is the centre of a larger one, flattened and multiplied by a matrix
    that all channels share (section 3.3 of the paper); a 3x3 kernel comes from 7x7 in two steps.
    """

    def __init__(self, max_channels: int, kernels: Sequence[int], stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.kernels = sorted(kernels, reverse=True)
        largest = self.kernels[0]
        self.conv = nn.Conv2d(
            max_channels, max_channels, largest, stride, groups=max_channels, bias=False
        )
        for large, small in pairwise(self.kernels):
            self.register_parameter(matrix_name(large, small), nn.Parameter(torch.eye(small**2)))

    def forward(self, x_NCHW: Tensor, kernel: int) -> Tensor:
        """Return a tensor (N, C, H', W')."""
        channels = x_NCHW.shape[1]
        weight = self.kernel(kernel, channels)
        return F.conv2d(x_NCHW, weight, None, self.stride, kernel // 2, groups=channels)

    def kernel(self, size: int, channels: int) -> Tensor:
        """Return the weight (C, 1, K, K) of the leading channels for kernels of `size`."""
        weight_C1KK = leading(self.conv.weight, (channels,))
        for large, small in pairwise(self.kernels):
            if large == size:
                break
            start = (large - small) // 2
            centre = weight_C1KK[..., start : start + small, start : start + small]
            matrix = self.get_parameter(matrix_name(large, small))
            weight_C1KK = F.linear(centre.flatten(1), matrix).view(centre.shape)
        return weight_C1KK


class ElasticSqueezeExcite(SqueezeExcite):
    """Squeeze-and-excitation of the leading channels; its own width follows from theirs."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        channels = x_NCHW.shape[1]
        squeezed = squeeze_width(channels)
        reduce, expand = self.fc.reduce, self.fc.expand
        assert reduce.bias is not None
        assert expand.bias is not None
        x_NC11 = F.relu_(
            F.conv2d(
                x_NCHW.mean((2, 3), keepdim=True),
                leading(reduce.weight, (squeezed, channels)),
                leading(reduce.bias, (squeezed,)),
            )
        )
        gate_NC11 = F.conv2d(
            x_NC11,
            leading(expand.weight, (channels, squeezed)),
            leading(expand.bias, (channels,)),
        )
        return x_NCHW * F.hardsigmoid(gate_NC11, inplace=True)


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


def leading(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return a view of the first `sizes` entries along the first dimensions."""
    for dim, size in enumerate(sizes):
        if size < tensor.shape[dim]:
            tensor = tensor.narrow(dim, 0, size)
    return tensor


def matrix_name(large: int, small: int) -> str:
    """Name the weights that make a smaller kernel of the centre of a larger one."""
    return f"{large}to{small}_matrix"
