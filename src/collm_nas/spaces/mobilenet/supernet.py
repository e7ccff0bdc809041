"""The once-for-all MobileNetV3 supernet (Cai et al., 2020, https://arxiv.org/abs/1908.09791).

All subnets share one set of weights: the first blocks of a stage, the leading channels of a
block, and kernels that are transformed from 7x7 to 5x5 to 3x3 by learned matrices. The weights
have the names and shapes of the original (https://github.com/mit-han-lab/once-for-all), so its
checkpoints load as they are.
Shapes: N = images, C = channels, H and W = pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count
from collm_nas.data.base import SplitName
from collm_nas.data.view import RandomView
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import rename
from collm_nas.spaces.mobilenet.elastic import ElasticBlock, MBConv, leading, matrix_name
from collm_nas.spaces.mobilenet.network import (
    MobileNetFrame,
    MobileNetV3,
    first_block,
    init_weights,
)
from collm_nas.spaces.mobilenet.skeleton import BlockSlot, hidden_width
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.supernet import OfficialWeights, Supernet

FILES = "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/"
RELEASED = {width: f"ofa_mbv3_d234_e346_k357_w{width}" for width in ("1.0", "1.2")}


def official_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of a released file, or of a plain network, the names of a supernet's.

    There are three generations of names. They differ in what they call a block's layers, and in
    whether the weights of an elastic layer lie one level deeper than those of a plain one. A full
    network that was trained before its kernels became elastic has no transforms: they start as
    identity.

    Raises:
        WrongCheckpoint: two tensors would get the same name.
    """
    named = rename(state, _supernet_name)
    if any(name.endswith("_matrix") for name in named):
        return named
    depthwise = [n for n in named if n.endswith(".depth_conv.conv.conv.weight")]
    return named | {
        f"{name.removesuffix('conv.weight')}{matrix_name(large, small)}": torch.eye(small**2)
        for name in depthwise
        for large, small in ((7, 5), (5, 3))
    }


def _supernet_name(name: str) -> str:
    name = name.replace(".mobile_inverted_conv.", ".conv.")
    name = re.sub(r"\.(conv|bn|linear)\.\1\.", r".\1.", name)
    elastic = r"(blocks\.[1-9]\d*\.conv\.(?:inverted_bottleneck|depth_conv|point_linear))"
    return re.sub(rf"^{elastic}\.(conv|bn)\.(?!\dto)", r"\1.\2.\2.", name)


class OFASupernet(MobileNetFrame, Supernet):
    """The weights of all subnets of `space`.

    In training, every call updates the running statistics of the batch norms it uses, in place.
    They are a mixture over subnets and right for none: recalibrate an extracted subnet before
    its accuracy means anything.
    """

    training_view: ClassVar[RandomView | None] = RandomView(brightness=32 / 255, saturation=0.5)
    unseen: ClassVar[SplitName | None] = "ofa_10k"
    official_weights: ClassVar[Mapping[str, OfficialWeights]] = {
        f"mobilenet-w{w}-c1000": OfficialWeights(FILES + name, name) for w, name in RELEASED.items()
    }
    official_names = staticmethod(official_names)

    def __init__(self, space: MobileNet) -> None:
        super().__init__(space.skeleton, dropout_of(space))
        self.space = space
        widest = max(space.expansions)
        elastic = [ElasticBlock(s, space.kernels, widest) for s in space.skeleton.slots]
        self.blocks = nn.ModuleList([first_block(space.skeleton), *elastic])
        init_weights(self)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        x_NCHW = self.blocks[0](self.stem(images))
        for block in self.space.active_blocks(arch):
            x_NCHW = self.elastic_block(block.slot)(x_NCHW, block)
        return self.classify(x_NCHW)

    @staticmethod
    def blocks_of(subnet: nn.Module) -> list[nn.Module]:
        """See `Supernet`: all but the fixed first block."""
        return [*cast(MobileNetV3, subnet).blocks][1:]

    @classmethod
    def stand_alone(cls, space: MobileNet, arch: Architecture) -> MobileNetV3:
        """See `Supernet`; a smaller kernel is drawn by its own size, not cut from a larger one."""
        network = MobileNetV3(space.skeleton, space.active_blocks(arch), dropout_of(space))
        init_weights(network)
        return network

    @torch.no_grad()
    def extract(self, arch: Architecture) -> MobileNetV3:
        blocks = self.space.active_blocks(arch)
        subnet = MobileNetV3(self.space.skeleton, blocks, dropout_of(self.space))
        # what the blocks are cut from, by the names in a plain network
        sources = {n: t for n, t in self.state_dict().items() if not re.match(r"blocks\.[1-9]", n)}
        for position, block in enumerate(blocks, start=1):
            for name, tensor in self.elastic_block(block.slot).plain_weights(block.kernel):
                sources[f"blocks.{position}.{name}"] = tensor
        weights = {
            name: leading(sources[name], target.shape).clone()
            for name, target in subnet.state_dict().items()
        }
        subnet.load_state_dict(weights, assign=True)
        return subnet.train(self.training)

    def elastic_block(self, slot: BlockSlot) -> ElasticBlock:
        """Return the block of a slot; the fixed first block has none."""
        return cast(ElasticBlock, self.blocks[1 + slot.index])


@checked
@dataclass(frozen=True)
class SortChannels:
    """Orders the channels inside all blocks by importance, at the start of a width phase.

    A narrower block then keeps the channels that matter most. What the phases before have trained
    is kept: the full network stays the same function, and channels that a trained width leaves
    out stay behind it. As in the original, the hidden channels of squeeze-and-excitation are
    sorted over their whole range, so that there a trained narrower width does change a little.

    Args:
        expansions: those of the phase that starts: all but the smallest have been trained.
    """

    expansions: Sequence[Count]

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        if not isinstance(space, MobileNet):
            return [f"{key} must be null: blocks of {space.name} have one width each"]
        chosen, known = {*self.expansions}, space.expansions
        if len(chosen) >= 2 and chosen <= {*known} and max(known) in chosen:
            return []
        return [
            f"{key}.expansions must be two or more of the expansions {list(known)}, {max(known)} "
            f"included, got {list(self.expansions)}"
        ]

    @torch.no_grad()
    def __call__(self, supernet: nn.Module) -> None:
        """Sort the channels of `supernet`, an `OFASupernet`, in place."""
        assert isinstance(supernet, OFASupernet)
        for slot in supernet.space.skeleton.slots:
            trained = [hidden_width(slot.in_channels, e) for e in sorted({*self.expansions})[1:]]
            _sort_block(supernet.elastic_block(slot).conv, trained)


def _sort_block(block: MBConv, trained_widths: Sequence[int]) -> None:
    """Sort by the L1 norm of the weights that read a channel, within each trained width."""
    reader = block.point_linear.conv.conv.weight
    importance = reader.abs().sum((0, 2, 3))
    # The offsets are the original's: in single precision they also decide between close channels.
    for rank, (start, end) in enumerate(pairwise(trained_widths), start=2):
        importance[start:end] -= rank * 1e5
    order = importance.argsort(descending=True)
    _permute(order, 1, reader)
    _permute(order, 0, block.inverted_bottleneck.conv.conv.weight)
    _permute(order, 0, block.depth_conv.conv.conv.weight)
    for norm in (block.inverted_bottleneck.bn.bn, block.depth_conv.bn.bn):
        _permute(order, 0, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if block.depth_conv.se is not None:
        fc = block.depth_conv.se.fc
        _permute(order, 0, fc.expand.weight, fc.expand.bias)
        _permute(order, 1, fc.reduce.weight)
        squeeze_order = fc.expand.weight.abs().sum((0, 2, 3)).argsort(descending=True)
        _permute(squeeze_order, 1, fc.expand.weight)
        _permute(squeeze_order, 0, fc.reduce.weight, fc.reduce.bias)


def _permute(order: Tensor, dim: int, *tensors: Tensor | None) -> None:
    for tensor in tensors:
        assert tensor is not None
        tensor.copy_(tensor.index_select(dim, order))


def dropout_of(space: MobileNet) -> float:
    """Return the original's dropout: 0.1 for width 1.0, 0.2 for its nets of width 1.2."""
    return 0.2 if space.skeleton.width > 1 else 0.1
