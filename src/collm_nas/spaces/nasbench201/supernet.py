"""The weight-sharing network of NAS-Bench-201: every operation on every edge, one of them used.

As in the baselines of the benchmark (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.nasbench201.network import (
    CellNetwork,
    ConvOp,
    ResidualBlock,
    Skeleton,
    layout,
    operation,
    run_cell,
)
from collm_nas.spaces.nasbench201.space import DATASETS, EDGES, OPERATIONS, NASBench201
from collm_nas.spaces.supernet import Supernet


class MixedCell(nn.Module):
    """Every operation on each edge, of which one is used at a time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(operation(op, channels, affine=False) for op in OPERATIONS) for _ in EDGES
        )

    def forward(self, x: Tensor, choices: Sequence[int]) -> Tensor:
        """Return the last node when edge `i` holds the operation `choices[i]`."""
        edges = zip(self.layers, choices, strict=True)
        return run_cell(x, [cast(nn.ModuleList, ops)[choice] for ops, choice in edges])


class CellSupernet(Skeleton, Supernet):
    """The weight-sharing network: 5 operations on 6 edges of 15 cells, nothing shared among them.

    The batch norms of the operations are not affine, and their convolutions have biases, as in
    the benchmark's baselines.
    """

    def __init__(self, space: NASBench201) -> None:
        super().__init__(DATASETS[space.dataset].classes)
        self.cells.extend(
            ResidualBlock(*widths) if len(widths) == 2 else MixedCell(*widths)
            for widths in layout()
        )

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        choices = _choices(arch)
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x, choices) if isinstance(cell, MixedCell) else cell(x)
        return self.classify(x)

    @classmethod
    def stand_alone(cls, space: NASBench201, arch: Architecture) -> CellNetwork:
        """See `Supernet`; its convolutions have no biases, and its running means begin at 0."""
        return CellNetwork(arch, DATASETS[space.dataset].classes)

    def extract(self, arch: Architecture) -> CellNetwork:
        """See `Supernet`; the bias of a convolution moves into the mean of its batch norm."""
        choices = _choices(arch)
        weights = {}
        for name, weight in self.state_dict().items():
            match name.split("."):
                case ["cells", cell, "layers", edge, choice, *rest]:
                    if int(choice) == choices[int(edge)]:
                        weights[".".join(["cells", cell, "layers", edge, *rest])] = weight.clone()
                case _:
                    weights[name] = weight.clone()
        with torch.device("meta"):  # neither draws nor fills weights that are replaced at once
            subnet = CellNetwork(arch, self.classifier.out_features)
        for name, module in subnet.named_modules():
            if isinstance(module, ConvOp) and f"{name}.op.1.bias" in weights:
                mean = weights[f"{name}.op.2.running_mean"]
                weights[f"{name}.op.2.weight"] = torch.ones_like(mean)
                weights[f"{name}.op.2.bias"] = torch.zeros_like(mean)
                mean -= weights.pop(f"{name}.op.1.bias")
        subnet.load_state_dict(weights, assign=True)
        return subnet.train(self.training)


def _choices(arch: Architecture) -> list[int]:
    return [OPERATIONS.index(str(op)) for op in arch["op"]]
