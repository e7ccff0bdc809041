"""NAS-Bench-201 (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326): 5 operations on 6 edges.

The cell is a complete DAG of 4 nodes with one operation on each edge; a network stacks 5 equal
cells in each of 3 stages. Every one of the 15,625 cells was trained on three data sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.arguments import checked
from collm_nas.spaces.base import Costs, SearchSpace
from collm_nas.spaces.format import Variable, shorten, wrong_keys

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target), as in the cell string
STAGES = ((16, 1), (32, 2), (64, 4))  # (channels, how much smaller than the input image)
CELLS_PER_STAGE = 5

CELL_STRING = re.compile(
    r"\|" + r"\|\+\|".join(r"\|".join(["([^|]*)"] * n) for n in (1, 2, 3)) + r"\|"
)
STRUCTURE = re.compile(r"Structure\(4 nodes with (\|.*\|)\)")


@dataclass(frozen=True)
class Dataset:
    """What a data set is called, and what of it enters the costs."""

    title: str
    classes: int
    resolution: int  # pixels


DatasetName = Literal["cifar10", "cifar100", "imagenet16-120"]
DATASETS = {
    "cifar10": Dataset("CIFAR-10", 10, 32),
    "cifar100": Dataset("CIFAR-100", 100, 32),
    "imagenet16-120": Dataset("ImageNet16-120", 120, 16),
}


@checked
class NASBench201(SearchSpace):
    """The cells of NAS-Bench-201, trained on `dataset`.

    Args:
        dataset: cifar10, cifar100 or imagenet16-120.
    """

    name = "nasbench201"
    supernet = "collm_nas.spaces.nasbench201.supernet:CellSupernet"
    tables = "collm_nas.spaces.nasbench201.tables:read"

    def __init__(self, dataset: DatasetName = "cifar10") -> None:
        self.dataset = dataset
        self.num_classes = DATASETS[dataset].classes
        super().__init__([Variable("op", OPERATIONS, len(EDGES))])

    @property
    def task(self) -> str:
        """Name what the networks are for."""
        return f"image classification on {DATASETS[self.dataset].title}"

    @property
    def identity(self) -> str:
        """Name what the weights of a supernet depend on: the data set."""
        return f"{self.name}-{self.dataset}"

    def resolution(self, arch: Architecture) -> int:
        """Return the side of the images of the data set, in pixels."""
        return DATASETS[self.dataset].resolution

    def key(self, arch: Architecture) -> str:
        """Return six digits, the positions of the operations in `OPERATIONS`: `333132`."""
        return "".join(str(OPERATIONS.index(str(op))) for op in arch["op"])

    def costs(self, arch: Architecture) -> Costs:
        """Return multiply-adds and parameters as the benchmark counts them.

        Convolutions and the linear layer with its bias are counted; batch norms cost parameters
        only; pooling and sums are free. Equal to the official values for every cell.
        """
        data = DATASETS[self.dataset]
        kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
        taps = [kernels[str(op)] for op in arch["op"] if op in kernels]
        macs = 27 * 16 * data.resolution**2
        params = 27 * 16 + 2 * 16
        for channels, shrink in STAGES:
            pixels = (data.resolution // shrink) ** 2
            macs += CELLS_PER_STAGE * sum(taps) * channels**2 * pixels
            params += CELLS_PER_STAGE * (sum(taps) * channels**2 + len(taps) * 2 * channels)
        for channels, shrink in STAGES[1:]:  # the residual block that halves the resolution
            weights = 9 * (channels // 2) * channels + 9 * channels**2 + (channels // 2) * channels
            macs += weights * (data.resolution // shrink) ** 2
            params += weights + 2 * 2 * channels
        head = 64 * data.classes + data.classes
        return {"macs": macs + head, "params": params + 2 * 64 + head}

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        """See `SearchSpace`: nothing but convolutions costs anything."""
        least, most = (
            self.costs(self.build({"op": [op] * len(EDGES)})) for op in ("none", "nor_conv_3x3")
        )
        return (least[metric], most[metric]) if metric in least else None

    # -- the cell string of the benchmark ---------------------------------------------------

    def encode(self, arch: Architecture) -> Any:
        """Return `{"cell": "|nor_conv_3x3~0|+|…"}`."""
        return {"cell": cell_string(arch["op"])}

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes; see `SearchSpace.decode`."""
        if problems := wrong_keys(answer, ["cell"]):
            raise InvalidArchitecture(problems)
        text = answer["cell"]
        match = CELL_STRING.fullmatch(text) if isinstance(text, str) else None
        written = [edge.rpartition("~") for edge in match.groups()] if match else []
        if [source for _, _, source in written] != [str(source) for source, _ in EDGES]:
            form = "cell must have the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            raise InvalidArchitecture(f"{form}, got {shorten(text)}")
        operations = [operation for operation, _, _ in written]
        if problems := wrong_edges(operations, OPERATIONS):
            raise InvalidArchitecture(problems)
        return Architecture.of({"op": operations})

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of one cell."""
        op = "(" + "|".join(OPERATIONS) + ")"
        text = cell_string([op] * len(EDGES)).replace("|", r"\|").replace("+", r"\+")
        pattern = text.replace(op.replace("|", r"\|"), op)
        return {
            "type": "object",
            "properties": {"cell": {"type": "string", "pattern": f"^{pattern}$"}},
            "required": ["cell"],
            "additionalProperties": False,
        }

    def transcribe(self, written: Any) -> Any:
        """See `SearchSpace`: AutoDL writes `Structure(4 nodes with |…|)`, and nested pairs."""
        if isinstance(written, str) and (found := STRUCTURE.fullmatch(written)):
            return found[1]
        try:
            nodes = [[f"{op}~{source}" for op, source in node] for node in written]
        except (TypeError, ValueError):
            return written
        return "+".join(f"|{'|'.join(node)}|" for node in nodes)


def cell_string(operations: Iterable[object]) -> str:
    """Write six operations as the benchmark does: `|a~0|+|b~0|c~1|+|d~0|e~1|f~2|`."""
    ops = iter(operations)
    nodes = ("|".join(f"{next(ops)}~{source}" for source in range(node)) for node in (1, 2, 3))
    return "+".join(f"|{node}|" for node in nodes)


def parse_cell_string(text: str) -> Architecture:
    """Read the benchmark's own spelling of a cell, as tables and files use it.

    Raises:
        InvalidArchitecture: it is not a cell of NAS-Bench-201.
    """
    return NASBench201().decode({"cell": text})


def wrong_edges(written: Iterable[Any], operations: Sequence[object]) -> list[str]:
    """Say what is wrong with what was written for each edge, if it is to be in `operations`."""
    allowed = ", ".join(map(str, operations))
    return [
        f"edge {source}->{target} must be one of {allowed}, got {shorten(label)}"
        for (source, target), label in zip(EDGES, written, strict=True)
        if not (isinstance(label, str) and label in operations)
    ]
