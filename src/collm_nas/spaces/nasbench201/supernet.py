"""The networks of NAS-Bench-201 (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326).

`CellNetwork` is what the benchmark trained for one cell: a stem, three stages of five equal cells
and a residual block before the second and the third. `CellSupernet` holds every operation on every
edge, for weight sharing as in the benchmark's own search baselines.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.nasbench201.space import (
    CELLS_PER_STAGE,
    DATASETS,
    EDGES,
    OPERATIONS,
    STAGES,
    NASBench201,
)
from collm_nas.spaces.supernet import Supernet

NODES = 4


class Zero(nn.Module):
    """The operation `none`. It cuts the edge off, so that nothing before it is learnt from it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of `x`."""
        return torch.zeros_like(x)


class ConvOp(nn.Module):
    """ReLU, convolution, batch norm; the convolution has a bias if the norm is not affine."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not affine),
            nn.BatchNorm2d(outputs, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return cast(Tensor, self.op(x))


class ResidualBlock(nn.Module):
    """Halves the image and widens the network, between two stages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ConvOp(inputs, outputs, 3, stride=2)
        self.conv_b = ConvOp(outputs, outputs, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the two branches; no activation follows."""
        return cast(Tensor, self.downsample(x) + self.conv_b(self.conv_a(x)))


class _Skeleton(nn.Module):
    """What surrounds the cells: `cells` lists them in order, with the two residual blocks."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        first, last = STAGES[0][0], STAGES[-1][0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first)
        )
        self.cells = nn.ModuleList()
        self.lastact = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.classifier = nn.Linear(last, classes)

    def classify(self, x: Tensor) -> Tensor:
        """Turn the features of the last cell into logits (N, classes)."""
        return cast(Tensor, self.classifier(self.lastact(x).mean(dim=(2, 3))))


class Cell(nn.Module):
    """One operation on each edge."""

    def __init__(self, operations: Iterable[str], channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_operation(op, channels) for op in operations)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last node, (N, channels, H, W) like `x`."""
        return _run_cell(x, [*self.layers])


class MixedCell(nn.Module):
    """Every operation on each edge, of which one is used at a time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(_operation(op, channels, affine=False) for op in OPERATIONS)
            for _ in EDGES
        )

    def forward(self, x: Tensor, choices: Sequence[int]) -> Tensor:
        """Return the last node when edge `i` holds the operation `choices[i]`."""
        edges = zip(self.layers, choices, strict=True)
        return _run_cell(x, [cast(nn.ModuleList, ops)[choice] for ops, choice in edges])


class CellNetwork(_Skeleton):
    """The stand-alone network of one cell, freshly initialised, under the benchmark's names."""

    def __init__(self, arch: Architecture, classes: int) -> None:
        super().__init__(classes)
        operations = [str(op) for op in arch["op"]]
        self.cells.extend(
            ResidualBlock(*widths) if len(widths) == 2 else Cell(operations, *widths)
            for widths in _layout()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Classify `images` (N, 3, H, W); return logits (N, classes)."""
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        return self.classify(x)


class CellSupernet(_Skeleton, Supernet):
    """The weight-sharing network: 5 operations on 6 edges of 15 cells, nothing shared among them.

    The batch norms of the operations are not affine, and their convolutions have biases, as in
    the benchmark's baselines.
    """

    def __init__(self, space: NASBench201) -> None:
        super().__init__(DATASETS[space.dataset].classes)
        self.cells.extend(
            ResidualBlock(*widths) if len(widths) == 2 else MixedCell(*widths)
            for widths in _layout()
        )

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        """See `Supernet`."""
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


def _operation(name: str, channels: int, affine: bool = True) -> nn.Module:
    match name:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return ConvOp(channels, channels, 1, affine=affine)
        case "nor_conv_3x3":
            return ConvOp(channels, channels, 3, affine=affine)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise AssertionError(name)


def _run_cell(x: Tensor, edges: Sequence[nn.Module]) -> Tensor:
    """Compute the nodes in order, each as the sum over its incoming edges."""
    nodes = [x]
    for node in range(1, NODES):
        incoming = [
            edge(nodes[source])
            for (source, target), edge in zip(EDGES, edges, strict=True)
            if target == node
        ]
        nodes.append(functools.reduce(torch.add, incoming))
    return nodes[-1]


def _layout() -> list[tuple[int, ...]]:
    """List the widths of the cells: one number for a cell, two for a residual block."""
    layout: list[tuple[int, ...]] = []
    previous = None
    for channels, _ in STAGES:
        if previous is not None:
            layout.append((previous, channels))
        layout += [(channels,)] * CELLS_PER_STAGE
        previous = channels
    return layout


def _choices(arch: Architecture) -> list[int]:
    return [OPERATIONS.index(str(op)) for op in arch["op"]]
