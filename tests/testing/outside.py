"""Spaces of another project: a right one with values of several digits, and wrong ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import Costs, SearchSpace, Variable
from collm_nas.spaces.supernet import Supernet
from collm_nas.testing.conformance import (
    NetworkConformance,
    SearchSpaceConformance,
    SupernetConformance,
)

SIDE, CLASSES, WIDEST = 8, 3, 16


class Towers(SearchSpace):
    """A stem, then one or two parallel towers of a kernel and a width each, added up."""

    name = "towers"
    num_classes = CLASSES

    def __init__(self) -> None:
        variables = [
            Variable("towers", (1, 2)),
            Variable("kernel", (1, 3), 2),
            Variable("width", (1, 11, 16), 2),
        ]
        super().__init__(variables)

    def canonical(self, arch: Architecture) -> Architecture:
        """Cut what is not used, and sort towers: their sum knows no order."""
        chosen = sorted(towers(arch))
        return Architecture.of(
            {
                "towers": arch["towers"],
                "kernel": [kernel for kernel, _ in chosen],
                "width": [width for _, width in chosen],
            }
        )

    def size(self) -> int:
        return 6 + 6 * 7 // 2

    def resolution(self, arch: Architecture) -> int:
        return SIDE

    def costs(self, arch: Architecture) -> Costs:
        weights = sum(4 * width * (k**2 + 1) for k, width in towers(arch)) + 3 * 4
        return {"macs": weights * SIDE**2 + 4 * CLASSES, "params": weights + 4 * CLASSES}


def towers(arch: Architecture) -> list[tuple[int, int]]:
    pairs = zip(arch["kernel"], arch["width"], strict=True)
    return [(int(k), int(w)) for k, w in pairs][: int(arch["towers"][0])]


class Tower(nn.Module):
    def __init__(self, kernel: int, width: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(4, width, kernel, padding=kernel // 2, bias=False)
        self.narrow = nn.Conv2d(width, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(F.relu(self.widen(x)))
        return out


class Network(nn.Module):
    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1, bias=False)
        self.towers = nn.ModuleList(Tower(*tower) for tower in towers(arch))
        self.classifier = nn.Linear(4, CLASSES, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        logits: Tensor = self.classifier(sum(t(x) for t in self.towers).mean((2, 3)))
        return logits


class TowersSupernet(Supernet):
    """One weight for each place and kernel, of which the leading channels are used."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1, bias=False)
        self.towers = nn.ModuleList(
            nn.ModuleDict({str(k): Tower(k, WIDEST) for k in (1, 3)}) for _ in range(2)
        )
        self.classifier = nn.Linear(4, CLASSES, bias=False)

    def forward(self, images: Tensor, arch: Architecture) -> Tensor:
        x = self.stem(images)
        added: Tensor = 0  # type: ignore[assignment]
        for (kernel, width), place in zip(towers(arch), self.towers, strict=False):
            tower = place[str(kernel)]  # type: ignore[index]
            hidden = F.relu(F.conv2d(x, tower.widen.weight[:width], padding=kernel // 2))
            added = added + F.conv2d(hidden, tower.narrow.weight[:, :width])
        logits: Tensor = self.classifier(added.mean((2, 3)))
        return logits

    @torch.no_grad()
    def extract(self, arch: Architecture) -> nn.Module:
        network = Network(arch).to(self.stem.weight.dtype)
        network.stem.load_state_dict(self.stem.state_dict())
        network.classifier.load_state_dict(self.classifier.state_dict())
        for (kernel, width), place, tower in zip(
            towers(arch), self.towers, network.towers, strict=False
        ):
            source = place[str(kernel)]  # type: ignore[index]
            tower.widen.weight.copy_(source.widen.weight[:width])  # type: ignore[union-attr]
            tower.narrow.weight.copy_(source.narrow.weight[:, :width])  # type: ignore[union-attr]
        return network.train(self.training)


class WithSupernet(Towers):
    supernet = f"{__name__}:TowersSupernet"


class RunsTogether(Towers):
    """Writes values side by side: [1, 11] and [11, 1] share a key."""

    def key(self, arch: Architecture) -> str:
        return "-".join(f"{name[0]}{''.join(map(str, values))}" for name, values in arch.genes)

    def canonical(self, arch: Architecture) -> Architecture:
        return arch

    def size(self) -> int:
        return 2 * 2**2 * 3**2


class Keeps(WithSupernet):
    """Keeps the genes of a tower that is not there, and counts them."""

    def canonical(self, arch: Architecture) -> Architecture:
        return arch

    def size(self) -> int:
        return 2 * 2**2 * 3**2


class Unsorted(WithSupernet):
    """Cuts, but takes a + b and b + a for two networks."""

    def canonical(self, arch: Architecture) -> Architecture:
        chosen = towers(arch)
        return Architecture.of(
            {
                "towers": arch["towers"],
                "kernel": [kernel for kernel, _ in chosen],
                "width": [width for _, width in chosen],
            }
        )

    def size(self) -> int:
        return 6 + 6**2


class Miscounts(WithSupernet):
    """Forgets the narrow convolution of each tower."""

    def costs(self, arch: Architecture) -> Costs:
        forgotten = sum(4 * width for _, width in towers(arch))
        costs = super().costs(arch)
        return {**costs, "macs": costs["macs"] - forgotten * SIDE**2}


class OnlyListed(Towers):
    """Is in a table, has no supernet, and miscounts."""

    def costs(self, arch: Architecture) -> Costs:
        return Miscounts().costs(arch)


LARGEST = {"towers": [2], "kernel": [3, 3], "width": [16, 16]}


class TestRightSpace(SearchSpaceConformance):
    space = WithSupernet()


class TestRightSupernet(SupernetConformance):
    space = WithSupernet()


class TestRightTable(SearchSpaceConformance):
    space = Towers()
    known_costs = ((LARGEST, {"params": 2 * 16 * 40 + 24, "macs": (2 * 16 * 40 + 12) * 64 + 12}),)


class TestUnchecked(SearchSpaceConformance):
    space = Towers()


class TestRunsTogether(SearchSpaceConformance):
    space = RunsTogether()


class TestKeeps(SearchSpaceConformance):
    space = Keeps()


class TestKeepsSupernet(SupernetConformance):
    space = Keeps()


class TestUnsorted(SearchSpaceConformance):
    space = Unsorted()


class TestUnsortedSupernet(SupernetConformance):
    space = Unsorted()


class TestMiscounts(SupernetConformance):
    space = Miscounts()


class TestOnlyListed(SearchSpaceConformance):
    space = OnlyListed()
    known_costs = TestRightTable.known_costs


class TestNetworksOfTheTable(NetworkConformance):
    space = OnlyListed()

    def network(self, arch: Architecture) -> nn.Module:
        return Network(arch)
