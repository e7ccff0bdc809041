"""SPOS's shuffle units and the stand-alone network of one architecture.

Source: Guo et al., 2020, https://arxiv.org/abs/1904.00420. Names, shapes and initialisation are
those of the published code (https://github.com/megvii-model/SinglePathOneShot).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.shufflenet.costs import KERNELS, XCEPTION, Block
from collm_nas.spaces.shufflenet.space import ShuffleNet

DROPOUT = 0.1


class Unit(nn.Module):
    """One choice of one block: images (N, channels_in, H, W) to (N, channels_out, H', W')."""

    def __init__(self, block: Block, choice: int, affine: bool) -> None:
        super().__init__()
        self.stride = block.stride
        kernel = 3 if choice == XCEPTION else KERNELS[choice]
        if choice == XCEPTION:
            branch = [
                *_depthwise(block.inputs, kernel, block.stride, affine),
                *_pointwise(block.inputs, block.hidden, affine),
                *_depthwise(block.hidden, kernel, 1, affine),
                *_pointwise(block.hidden, block.hidden, affine),
                *_depthwise(block.hidden, kernel, 1, affine),
                *_pointwise(block.hidden, block.outputs, affine),
            ]
        else:
            branch = [
                *_pointwise(block.inputs, block.hidden, affine),
                *_depthwise(block.hidden, kernel, block.stride, affine),
                *_pointwise(block.hidden, block.outputs, affine),
            ]
        self.branch_main = nn.Sequential(*branch)
        if block.stride == 2:
            self.branch_proj = nn.Sequential(
                *_depthwise(block.inputs, kernel, 2, affine),
                *_pointwise(block.inputs, block.inputs, affine),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the untouched (or projected) channels first, those of the branch after them."""
        if self.stride == 2:
            return torch.cat([self.branch_proj(x), self.branch_main(x)], dim=1)
        return torch.cat([x[:, 0::2], self.branch_main(x[:, 1::2])], dim=1)


class Trunk(nn.Module):
    """What the supernet and a stand-alone network have in common: all but the blocks."""

    def __init__(self, space: ShuffleNet, affine: bool) -> None:
        super().__init__()
        stem, *_, widest, last = space.channels
        self.first_conv = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem, affine=affine),
            nn.ReLU(),
        )
        self.features = nn.ModuleList()
        self.conv_last = nn.Sequential(*_pointwise(widest, last, affine))
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Sequential(nn.Linear(last, space.num_classes, bias=False))

    def classify(self, x: Tensor) -> Tensor:
        """Turn the features of the last block into logits (N, classes)."""
        pooled = self.conv_last(x).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


class SPOSNetwork(Trunk):
    """The stand-alone network of one architecture, with affine batch norms, freshly initialised."""

    def __init__(self, space: ShuffleNet, arch: Architecture) -> None:
        super().__init__(space, affine=True)
        self.features.extend(
            Unit(block, int(op), affine=True)
            for block, op in zip(space.blocks, arch["ops"], strict=True)
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Classify `images` (N, 3, H, W); return logits (N, classes)."""
        x = self.first_conv(images)
        for unit in self.features:
            x = unit(x)
        return self.classify(x)


def _pointwise(inputs: int, outputs: int, affine: bool) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs, affine=affine),
        nn.ReLU(),
    ]


def _depthwise(channels: int, kernel: int, stride: int, affine: bool) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels, affine=affine)]


def initialise(network: Trunk) -> None:
    """Draw the weights as the published code does; weights without storage are left alone."""
    if network.classifier[0].weight.is_meta:
        return
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            deviation = 0.01 if name.startswith("first_conv") else 1 / module.weight.shape[1]
            nn.init.normal_(module.weight, 0, deviation)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 1e-4)
