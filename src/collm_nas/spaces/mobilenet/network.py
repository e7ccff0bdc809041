"""MobileNetV3 as an ordinary network: what a once-for-all subnet is once it is cut out.

Source: Howard et al., 2019, https://arxiv.org/abs/1905.02244, in the form of the once-for-all
code (https://github.com/mit-han-lab/once-for-all), whose names of weights are kept.
Shapes: N = images, C = channels, H and W = pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collm_nas.spaces.mobilenet.skeleton import (
    Activation,
    Block,
    Skeleton,
    squeeze_width,
)

ACTIVATIONS: dict[Activation, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "h_swish": nn.Hardswish,
}


class BlankConv2d(nn.Conv2d):
    """A convolution whose weights are not drawn when it is built, but loaded or drawn later."""

    def reset_parameters(self) -> None:
        """Draw nothing: see `init_weights`."""


class BlankLinear(nn.Linear):
    """A linear layer whose weights are not drawn when it is built, but loaded or drawn later."""

    def reset_parameters(self) -> None:
        """Draw nothing: see `init_weights`."""


class MobileNetFrame(nn.Module):
    """Stem and head, which all networks of a skeleton have in common, supernet and subnets.

    Args:
        dropout: the probability with which the classifier's inputs are dropped in training.
    """

    def __init__(self, net: Skeleton, dropout: float) -> None:
        super().__init__()
        stem, *_, last, expand, mix = net.widths
        self.first_conv = conv_bn_act(3, stem, 3, 2, "h_swish")
        self.final_expand_layer = conv_bn_act(last, expand, 1, 1, "h_swish")
        conv = BlankConv2d(expand, mix, 1, bias=False)
        self.feature_mix_layer = nn.Sequential(
            OrderedDict(conv=conv, act=nn.Hardswish(inplace=True))
        )
        linear = BlankLinear(mix, net.num_classes)
        self.classifier = nn.Sequential(OrderedDict(dropout=nn.Dropout(dropout), linear=linear))

    def stem(self, images: Tensor) -> Tensor:
        """Turn images (N, 3, H, W) into the first block's input."""
        if images.is_cpu:  # there, depth-wise convolutions are several times as fast in this layout
            images = images.contiguous(memory_format=torch.channels_last)
        x_NCHW: Tensor = self.first_conv(images)
        return x_NCHW

    def classify(self, x_NCHW: Tensor) -> Tensor:
        """Turn the last block's output into logits (N, classes)."""
        x_NCHW = self.final_expand_layer(x_NCHW)
        x_NC11 = self.feature_mix_layer(x_NCHW.mean((2, 3), keepdim=True))
        logits: Tensor = self.classifier(x_NC11.flatten(1))
        return logits


class MobileNetV3(MobileNetFrame):
    """A plain MobileNetV3 with a fixed first block and `blocks` after it.

    Its weights are undefined until they are loaded or drawn by `init_weights`: cutting a subnet
    out of a supernet would overwrite them at once, and takes half the time without them.
    """

    def __init__(self, net: Skeleton, blocks: Sequence[Block], dropout: float) -> None:
        super().__init__(net, dropout)
        self.blocks = nn.ModuleList([first_block(net), *map(_residual, blocks)])

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, H, W); return logits (N, classes)."""
        x_NCHW = self.stem(images)
        for block in self.blocks:
            x_NCHW = block(x_NCHW)
        return self.classify(x_NCHW)


class ResidualBlock(nn.Module):
    """A block whose input is added to its output where shapes allow."""

    def __init__(self, conv: nn.Module, has_shortcut: bool) -> None:
        super().__init__()
        self.conv = conv
        self.has_shortcut = has_shortcut

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return a tensor (N, C', H', W')."""
        y_NCHW: Tensor = self.conv(x_NCHW)
        return y_NCHW.add_(x_NCHW) if self.has_shortcut else y_NCHW


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all (Hu et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = SqueezeLayers(channels, squeeze_width(channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        squeezed = F.relu_(self.fc.reduce(x_NCHW.mean((2, 3), keepdim=True)))
        return x_NCHW * F.hardsigmoid(self.fc.expand(squeezed), inplace=True)


class SqueezeLayers(nn.Module):
    """The two layers of squeeze-and-excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = BlankConv2d(channels, squeezed, 1)
        self.expand = BlankConv2d(squeezed, channels, 1)


def first_block(net: Skeleton) -> ResidualBlock:
    """Return the block after the stem, which is not searched: a depth-wise one, no expansion."""
    stem, first, *_ = net.widths
    depth_conv = conv_bn_act(stem, stem, 3, 1, "relu", groups=stem)
    point_linear = conv_bn_act(stem, first, 1, 1, None)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        depth_conv=depth_conv, point_linear=point_linear
    )
    return ResidualBlock(nn.Sequential(layers), has_shortcut=stem == first)


def _residual(block: Block) -> ResidualBlock:
    slot, hidden = block.slot, block.hidden
    expand = conv_bn_act(slot.in_channels, hidden, 1, 1, slot.activation)
    depth = conv_bn_act(hidden, hidden, block.kernel, slot.stride, slot.activation, groups=hidden)
    if slot.squeeze_excite:
        depth.add_module("se", SqueezeExcite(hidden))
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        inverted_bottleneck=expand,
        depth_conv=depth,
        point_linear=conv_bn_act(hidden, slot.out_channels, 1, 1, None),
    )
    return ResidualBlock(nn.Sequential(layers), slot.has_shortcut)


def conv_bn_act(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int,
    activation: Activation | None,
    groups: int = 1,
) -> nn.Sequential:
    """Return a convolution, its batch norm and, if one is named, its activation."""
    conv = BlankConv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels))
    if activation:
        layers["act"] = ACTIVATIONS[activation](inplace=True)
    return nn.Sequential(layers)


def init_weights(net: nn.Module) -> None:
    """Initialise as the original does: He normal by outputs, and a uniform classifier.

    It draws from torch's generator, as the constructors of all modules do.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
