"""The AutoFormer supernet (Chen et al., 2021, https://arxiv.org/abs/2107.00651).

All subnets share the leading rows and columns of one set of weights, "entangled". The checkpoints
of the original (https://github.com/microsoft/Cream) load as they are. A subnet is a plain network,
and the supernet runs it on views of its own weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.autoformer.network import PatchGrid, VisionTransformer, init_weights
from collm_nas.spaces.autoformer.space import PAPER, AutoFormer
from collm_nas.spaces.supernet import OfficialWeights, Supernet

RELEASES = "https://github.com/silent-chen/AutoFormer-model-zoo/releases/download/v1.0"
NOTES = {
    "tiny": "trained without MLP ratio 3.0, and best near 6 million parameters",
    "base": "trained without layers of 8 heads",
}


class AutoFormerSupernet(Supernet):
    """The weights of all subnets of `space`."""

    input_format: ClassVar[str] = "imagenet_bicubic"
    official_weights: ClassVar[Mapping[str, OfficialWeights]] = {
        AutoFormer(size).identity: OfficialWeights(
            f"{RELEASES}/supernet-{size}.pth", f"supernet-{size}.pth", note=NOTES.get(size, "")
        )
        for size in PAPER
    }

    def __init__(self, space: AutoFormer) -> None:
        super().__init__()
        self.space = space
        self.grid = PatchGrid(space.side // space.patch_size)
        full = VisionTransformer(space, space.full, self.grid)
        init_weights(full)
        for name, child in [*full.named_parameters(recurse=False), *full.named_children()]:
            setattr(self, name, child)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        subnet = self._frame(arch)
        logits: Tensor = functional_call(subnet, self._weights(subnet), (images,))
        return logits

    @torch.no_grad()
    def extract(self, arch: Architecture) -> VisionTransformer:
        subnet = self._frame(arch)
        weights = self._weights(subnet)
        copies = {n: w.clone(memory_format=torch.contiguous_format) for n, w in weights.items()}
        subnet.load_state_dict(copies, assign=True)
        subnet.grid = deepcopy(self.grid)  # moved with the subnet, not with the supernet
        return subnet

    def _frame(self, arch: Architecture) -> VisionTransformer:
        """Build the subnet without weights, in the mode of the supernet."""
        return VisionTransformer(self.space, arch, self.grid, device="meta").train(self.training)

    def _weights(self, subnet: nn.Module) -> dict[str, Tensor]:
        """Return what `subnet` needs of the shared weights, as views where that is possible."""
        shared = dict(self.named_parameters())
        return {
            name: _entangled_rows(shared[name], *weight.shape)
            if name.endswith("qkv.weight")
            else shared[name][tuple(map(slice, weight.shape))]
            for name, weight in subnet.named_parameters()
        }


def _entangled_rows(weight: Tensor, rows: int, columns: int) -> Tensor:
    """Cut the weight of queries, keys and values, whose shared rows alternate: q, k, v, q, k, v.

    Those of the bias do not. The shared bias is cut like any other, so that a bias serves the
    queries of one subnet and the keys of another: inconsistent, but the weights are trained so.
    """
    triples = weight[:rows, :columns].view(-1, 3, columns)
    return triples.transpose(0, 1).reshape(rows, columns)
