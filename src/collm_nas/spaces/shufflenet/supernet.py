"""SPOS (Guo et al., 2020, https://arxiv.org/abs/1904.00420): shuffle units, one path at a time.

Every choice of every block has weights of its own; an architecture is one path through them.
Names, shapes and initialisation are those of the published code
(https://github.com/megvii-model/SinglePathOneShot), so that its weights load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.data.view import RandomView
from collm_nas.spaces.shufflenet.space import KERNELS, XCEPTION, Block, ShuffleNet
from collm_nas.spaces.supernet import OfficialWeights, Supernet

DROPOUT = 0.1
RELEASED = OfficialWeights(
    url="https://github.com/megvii-model/SinglePathOneShot",
    file_name="checkpoint-150000.pth.tar",
    note="images are BGR from 0 to 255; the README links to the file on OneDrive",
    only_page=True,
)


class Unit(nn.Module):
    """One choice of one block: images (N, channels_in, H, W) to (N, channels_out, H', W')."""

    def __init__(self, block: Block, choice: int, affine: bool) -> None:
        super().__init__()
        self.stride = block.stride
        kernel = 3 if choice == XCEPTION else KERNELS[choice]
        layers = _xception_branch if choice == XCEPTION else _shuffle_branch
        self.branch_main = nn.Sequential(*layers(block, kernel, affine))
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


class _Trunk(nn.Module):
    """What the supernet and a stand-alone network have in common: all but the blocks."""

    def __init__(self, space: ShuffleNet, affine: bool) -> None:
        super().__init__()
        stem, *_, widest, last = space.channels
        self.first_conv = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False), _norm(stem, affine), nn.ReLU()
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


class SPOSNetwork(_Trunk):
    """The stand-alone network of one architecture, with affine batch norms, freshly initialised."""

    def __init__(self, space: ShuffleNet, arch: Architecture) -> None:
        super().__init__(space, affine=True)
        self.features.extend(
            Unit(block, int(op), affine=True)
            for block, op in zip(space.blocks, arch["ops"], strict=True)
        )
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Classify `images` (N, 3, H, W); return logits (N, classes)."""
        x = self.first_conv(images)
        for unit in self.features:
            x = unit(x)
        return self.classify(x)


class SPOSSupernet(_Trunk, Supernet):
    """All choices of all blocks, with batch norms that are not affine."""

    # How the published weights expect images; with normalised RGB they are at chance.
    input_format: ClassVar[str] = "bgr_0_255"
    training_view: ClassVar[RandomView | None] = RandomView(
        brightness=0.4, contrast=0.4, saturation=0.4
    )
    official_weights: ClassVar[Mapping[str, OfficialWeights]] = {ShuffleNet().identity: RELEASED}

    def __init__(self, space: ShuffleNet) -> None:
        super().__init__(space, affine=False)
        self.space = space
        choices = space.variables[0].options
        self.features.extend(
            nn.ModuleList(Unit(block, int(choice), affine=False) for choice in choices)
            for block in space.blocks
        )
        _initialise(self)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        """See `Supernet`."""
        x = self.first_conv(images)
        for choices, op in zip(self.features, arch["ops"], strict=True):
            x = cast(nn.ModuleList, choices)[int(op)](x)
        return self.classify(x)

    @staticmethod
    def blocks_of(subnet: nn.Module) -> list[nn.Module]:
        """See `Supernet`."""
        return [*cast(SPOSNetwork, subnet).features]

    @classmethod
    def stand_alone(cls, space: ShuffleNet, arch: Architecture) -> SPOSNetwork:
        """See `Supernet`; its batch norms are affine and begin with weights 1 and biases 1e-4."""
        return SPOSNetwork(space, arch)

    def extract(self, arch: Architecture) -> SPOSNetwork:
        """See `Supernet`; the affine batch norms of the copy start as the identity."""
        weights = {}
        for name, weight in self.state_dict().items():
            match name.split("."):
                case ["features", block, choice, *rest]:
                    if int(choice) == arch["ops"][int(block)]:
                        weights[".".join(["features", block, *rest])] = weight.clone()
                case _:
                    weights[name] = weight.clone()
        with torch.device("meta"):  # neither draws nor fills weights that are replaced at once
            subnet = SPOSNetwork(self.space, arch)
        for name, module in subnet.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                mean = weights[f"{name}.running_mean"]
                weights[f"{name}.weight"] = torch.ones_like(mean)
                weights[f"{name}.bias"] = torch.zeros_like(mean)
        subnet.load_state_dict(weights, assign=True)
        return subnet.train(self.training)


def _shuffle_branch(block: Block, kernel: int, affine: bool) -> list[nn.Module]:
    return [
        *_pointwise(block.inputs, block.hidden, affine),
        *_depthwise(block.hidden, kernel, block.stride, affine),
        *_pointwise(block.hidden, block.outputs, affine),
    ]


def _xception_branch(block: Block, kernel: int, affine: bool) -> list[nn.Module]:
    return [
        *_depthwise(block.inputs, kernel, block.stride, affine),
        *_pointwise(block.inputs, block.hidden, affine),
        *_depthwise(block.hidden, kernel, 1, affine),
        *_pointwise(block.hidden, block.hidden, affine),
        *_depthwise(block.hidden, kernel, 1, affine),
        *_pointwise(block.hidden, block.outputs, affine),
    ]


def _pointwise(inputs: int, outputs: int, affine: bool) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1, bias=False), _norm(outputs, affine), nn.ReLU()]


def _depthwise(channels: int, kernel: int, stride: int, affine: bool) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [conv, _norm(channels, affine)]


def _norm(channels: int, affine: bool) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=affine)


def _initialise(network: _Trunk) -> None:
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
