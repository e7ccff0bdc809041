"""The SPOS supernet (Guo et al., 2020, https://arxiv.org/abs/1904.00420): one path at a time.

Every choice of every block has weights of its own; an architecture is one path through them. The
published weights (https://github.com/megvii-model/SinglePathOneShot) load as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.data.view import RandomView
from collm_nas.spaces.shufflenet.network import SPOSNetwork, Trunk, Unit, initialise
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.supernet import OfficialWeights, Supernet

RELEASED = OfficialWeights(
    url="https://github.com/megvii-model/SinglePathOneShot",
    file_name="checkpoint-150000.pth.tar",
    note="images are BGR from 0 to 255; the README links to the file on OneDrive",
    only_page=True,
)


class SPOSSupernet(Trunk, Supernet):
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
        initialise(self)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        x = self.first_conv(images)
        for choices, op in zip(self.features, arch["ops"], strict=True):
            x = cast(nn.ModuleList, choices)[int(op)](x)
        return self.classify(x)

    @staticmethod
    def blocks_of(subnet: nn.Module) -> list[nn.Module]:
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
