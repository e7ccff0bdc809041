"""The networks of NAS-Bench-201 (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326).

`CellNetwork` is what the benchmark trained for one cell: a stem, three stages of five equal cells
and a residual block before the second and the third.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.nasbench201.space import CELLS_PER_STAGE, EDGES, STAGES

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


class Skeleton(nn.Module):
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
        self.layers = nn.ModuleList(operation(op, channels) for op in operations)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last node, (N, channels, H, W) like `x`."""
        return run_cell(x, [*self.layers])


class CellNetwork(Skeleton):
    """The stand-alone network of one cell, freshly initialised, under the benchmark's names."""

    def __init__(self, arch: Architecture, classes: int) -> None:
        super().__init__(classes)
        operations = [str(op) for op in arch["op"]]
        self.cells.extend(
            ResidualBlock(*widths) if len(widths) == 2 else Cell(operations, *widths)
            for widths in layout()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Classify `images` (N, 3, H, W); return logits (N, classes)."""
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        return self.classify(x)


def operation(name: str, channels: int, affine: bool = True) -> nn.Module:
    """Return an operation of the benchmark, by its name."""
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


def run_cell(x: Tensor, edges: Sequence[nn.Module]) -> Tensor:
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


def layout() -> list[tuple[int, ...]]:
    """List the widths of the cells: one number for a cell, two for a residual block."""
    layout: list[tuple[int, ...]] = []
    previous = None
    for channels, _ in STAGES:
        if previous is not None:
            layout.append((previous, channels))
        layout += [(channels,)] * CELLS_PER_STAGE
        previous = channels
    return layout
