"""NAS-Bench-201 (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326): 5 operations on 6 edges.

The cell is a complete DAG of 4 nodes with one operation on each edge; a network stacks 5 equal
cells in each of 3 stages. Every one of the 15,625 cells was trained on three data sets.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Seed
from collm_nas.spaces.base import Costs, SearchSpace, Variable, shorten, wrong_keys
from collm_nas.spaces.codeword import all_words_except
from collm_nas.spaces.vocabulary import Vocabulary, Word, codes

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
MEANINGS = {
    "none": "zero: the edge is absent",
    "skip_connect": "identity",
    "nor_conv_1x1": "ReLU, 1x1 convolution, batch norm",
    "nor_conv_3x3": "ReLU, 3x3 convolution, batch norm",
    "avg_pool_3x3": "3x3 average pooling",
}
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target), as in the cell string
STAGES = ((16, 1), (32, 2), (64, 4))  # (channels, how much smaller than the input image)
CELLS_PER_STAGE = 5

CELL_STRING = re.compile(
    r"\|" + r"\|\+\|".join(r"\|".join(["([^|]*)"] * n) for n in (1, 2, 3)) + r"\|"
)
STRUCTURE = re.compile(r"Structure\(4 nodes with (\|.*\|)\)")


@dataclass(frozen=True)
class Dataset:
    """What of a data set enters the costs, and what a language model is told of it."""

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
        names: `official` tells a model the benchmark's operation names and cell string; `short`
            tells the same operations and one digit for each, for small models; `opaque` hides
            operations, string format and data set behind letters.
        order_seed: see `SearchSpace`; with `short` names it permutes the order of the edges, too: a
            small model copies a cell it was shown and changes the last digits.
    """

    name = "nasbench201"
    supernet = "collm_nas.spaces.nasbench201.supernet:CellSupernet"
    tables = "collm_nas.spaces.nasbench201.tables:read"

    def __init__(
        self,
        dataset: DatasetName = "cifar10",
        names: Literal["official", "short", "opaque"] = "official",
        order_seed: Seed | None = None,
    ) -> None:
        self.dataset = dataset
        self.num_classes = DATASETS[dataset].classes
        super().__init__([Variable("op", OPERATIONS, len(EDGES))], names, order_seed)

    @property
    def task(self) -> str:
        """Name what the network is for, as far as a language model may know."""
        hidden = "image classification on a small data set"
        title = f"image classification on {DATASETS[self.dataset].title}"
        return hidden if self.names == "opaque" else title

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

    # -- what a language model reads and writes ---------------------------------------------

    def knowledge(self) -> str:
        """Tell the cell, its operations and how to write one; see `SearchSpace.knowledge`."""
        word = self.vocabulary["op"]
        seed = self.order_seed
        told = word.told(seed)
        lines = [f"- `{label}`{self._meaning(word, label)}" for label in told]
        example = json.dumps(self.encode(self.sample(random.Random(f"example/{seed}"))))
        return "\n".join(
            [
                "## Search Space",
                "A network is a stack of identical cells. A cell is a directed acyclic graph of 4 "
                "nodes: node 0 is the input, node 3 the output, and every node is the sum of its "
                "incoming edges. There is an edge from each node to each later one, 6 in all, and "
                f"on each of them one of {len(told)} operations:",
                *lines,
                "",
                "## Representation Format",
                self._format(),
                f"Example (it shows the format, not a good cell): {example}",
            ]
        )

    @property
    def told_edges(self) -> list[int]:
        """List the positions in `EDGES` in the order in which a model is told them."""
        edges = list(range(len(EDGES)))
        if self.names == "short" and self.order_seed is not None:
            random.Random(f"edges/{self.order_seed}").shuffle(edges)
        return edges

    def encode(self, arch: Architecture) -> Any:
        """Return `{"cell": "|nor_conv_3x3~0|+|…"}`, `{"cell": "333132"}` or lists of letters."""
        labels = [str(self.vocabulary["op"].spell(op)) for op in arch["op"]]
        if self.names == "opaque":
            return {"edges": labels}
        if self.names == "short":
            return {"cell": "".join(labels[edge] for edge in self.told_edges)}
        return {"cell": cell_string(labels)}

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes; see `SearchSpace.decode`."""
        key = "edges" if self.names == "opaque" else "cell"
        if problems := wrong_keys(answer, [key]):
            raise InvalidArchitecture(problems)
        return self._from_labels(self._labels(answer[key]))

    def transcribe(self, written: Any) -> Any:
        """See `SearchSpace`: AutoDL writes `Structure(4 nodes with |…|)`, and nested pairs."""
        if isinstance(written, str) and (found := STRUCTURE.fullmatch(written)):
            return found[1]
        try:
            nodes = [[f"{op}~{source}" for op, source in node] for node in written]
        except (TypeError, ValueError):
            return written
        return "+".join(f"|{'|'.join(node)}|" for node in nodes)

    def schema(self, exclude: Iterable[Architecture] = ()) -> dict[str, Any]:
        """Return the JSON schema of one cell; `exclude` is honoured by `names=short`."""
        labels = [str(label) for label in self.vocabulary["op"].labels.values()]
        match self.names:
            case "opaque":
                key, value = "edges", _six(labels)
            case "short":
                words = {self.encode(arch)["cell"] for arch in exclude}
                key, value = "cell", _string(all_words_except(labels, len(EDGES), words))
            case _:
                op = "(" + "|".join(labels) + ")"
                text = cell_string([op] * len(EDGES)).replace("|", r"\|").replace("+", r"\+")
                key, value = "cell", _string(text.replace(op.replace("|", r"\|"), op))
        return {
            "type": "object",
            "properties": {key: value},
            "required": [key],
            "additionalProperties": False,
        }

    def _vocabulary(self) -> Vocabulary:
        return codes(self.variables) if self.names == "short" else super()._vocabulary()

    def _meaning(self, word: Word, label: object) -> str:
        if self.names == "opaque":
            return ""
        operation = str(word.read(label))
        name = f"{operation}, " if self.names == "short" else ""
        return f": {name}{MEANINGS[operation]}"

    def _format(self) -> str:
        if self.names == "official":
            return (
                "A cell is one string, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: three groups, for "
                "the edges into node 1, 2 and 3. `op~j` is the operation on the edge from node j. "
                'Write a cell as a JSON object with the one key "cell".'
            )
        edges = ", ".join("{}->{}".format(*EDGES[edge]) for edge in self.told_edges)
        if self.names == "short":
            return f'A cell is {len(EDGES)} digits, for the edges {edges}: {{"cell": "digits"}}.'
        return (
            f'A cell is a list of {len(EDGES)} letters, for the edges {edges}: {{"edges": [...]}}.'
        )

    def _labels(self, value: Any) -> list[Any]:
        """Split what was written into six labels, not yet known to be of the space."""
        count = len(EDGES)
        if self.names == "opaque":
            if isinstance(value, list) and len(value) == count:
                return value
            expected = f"edges must be a list of {count} letters"
        elif self.names == "short":
            if isinstance(value, str) and len(value) == count:
                return [digit for _, digit in sorted(zip(self.told_edges, value, strict=True))]
            expected = f"cell must be a string of {count} digits"
        else:
            expected = "cell must have the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            match = CELL_STRING.fullmatch(value) if isinstance(value, str) else None
            sources = [edge.rpartition("~") for edge in match.groups()] if match else []
            if match and [s for _, _, s in sources] == [str(source) for source, _ in EDGES]:
                return [operation for operation, _, _ in sources]
        raise InvalidArchitecture(f"{expected}, got {shorten(value)}")

    def _from_labels(self, labels: list[Any]) -> Architecture:
        word = self.vocabulary["op"]
        operations, problems = [], []
        for (source, target), label in zip(EDGES, labels, strict=True):
            try:
                operations.append(word.read(label))
            except KeyError:
                problems.append(
                    f"edge {source}->{target} must be one of "
                    f"{', '.join(map(str, word.told()))}, got {shorten(label)}"
                )
        if problems:
            raise InvalidArchitecture(problems)
        return Architecture.of({"op": operations})


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


def _string(pattern: str) -> dict[str, str]:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _six(labels: list[str]) -> dict[str, Any]:
    return {"type": "array", "items": {"enum": labels}, "minItems": 6, "maxItems": 6}
