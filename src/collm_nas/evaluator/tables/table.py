"""What a benchmark table is: one accuracy for each cell of NAS-Bench-201, and where it is from.

All readers end here, so that a number means the same whichever file it comes from: percent after
200 epochs of training, the mean over the training seeds (or one named seed), to four decimals.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, Protocol, runtime_checkable

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.nasbench201.space import DATASETS, EDGES, OPERATIONS, NASBench201, cell_string

Split = Literal["valid", "test"]
SEEDS = (777, 888, 999)  # of the trainings; every cell has at least two of them
CELLS = len(OPERATIONS) ** len(EDGES)


class TableError(ValueError):
    """A table that cannot be used: the message names the file, what is wrong, what to do."""


@dataclass(frozen=True)
class Quantity:
    """Which of the accuracies of a cell is read; `seed=None` is the mean over the seeds."""

    dataset: str
    split: Split
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed not in SEEDS:
            raise ValueError(
                f"seed must be one of {', '.join(map(str, SEEDS))}, the benchmark's training "
                f"seeds, or null for their mean (config key: evaluator.seed); got {self.seed!r}"
            )

    def __str__(self) -> str:
        split = {"valid": "validation", "test": "test"}[self.split]
        seed = "mean over seeds" if self.seed is None else f"seed {self.seed}"
        return f"{DATASETS[self.dataset].title} {split} accuracy ({seed})"


@dataclass(frozen=True)
class Standing:
    """Where an architecture stands among all those of a table."""

    rank: int  # 1 is the best; equals share a rank
    of: int
    regret: float  # percentage points below the best
    optimum: float  # percent


@runtime_checkable
class Benchmark(Protocol):
    """An evaluator that knows all architectures, so that it can tell where one stands."""

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with all the others by the accuracy that is looked up."""


@dataclass(frozen=True)
class Table:
    """One `quantity` for each cell.

    Args:
        source: the file or folder, for messages.
        cells: six-digit key of the cell -> percent; `None` where the cell was not trained with
            the named seed.
    """

    source: str
    quantity: Quantity
    space: NASBench201
    cells: Mapping[str, float | None]

    def accuracy(self, arch: Architecture) -> float:
        """Look `arch` up, in percent.

        Raises:
            EvaluationFailed: the table has no such number for it.
        """
        value = self.cells.get(self.space.key(arch))
        if value is None:
            raise EvaluationFailed(
                f"{self.source} has no {self.quantity} of {cell_string(arch['op'])}"
            )
        return value

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with all the cells that have a number.

        Raises:
            EvaluationFailed: the table has no number for `arch`.
        """
        accuracy = self.accuracy(arch)
        ranked = self._ascending
        better = len(ranked) - bisect_right(ranked, accuracy)
        return Standing(better + 1, len(ranked), round(ranked[-1] - accuracy, 4), ranked[-1])

    @cached_property
    def _ascending(self) -> list[float]:
        return sorted(value for value in self.cells.values() if value is not None)


def mean_accuracy(percents: Sequence[float]) -> float | None:
    """Average over trainings; `None` without any.

    Accuracies are counts of images, so four decimals tell all means of up to three seeds apart,
    while the float noise of the files, if kept, would decide between equals.
    """
    return round(sum(percents) / len(percents), 4) if percents else None


def check_percentages(values: Iterable[float], place: str) -> None:
    """Refuse accuracies that cannot be any.

    Raises:
        TableError: one is not within 0..100; `place` is where.
    """
    if wrong := [value for value in values if not 0 <= value <= 100]:
        raise TableError(f"{place}: an accuracy must be a percentage, 0 to 100, got {wrong[0]!r}")


def as_benchmark(space: SearchSpace) -> NASBench201:
    """Return `space`, which a table can only be about if it is NAS-Bench-201.

    Raises:
        ValueError: it is another one.
    """
    if not isinstance(space, NASBench201):
        raise ValueError(
            f"benchmark tables are those of NAS-Bench-201: they need searchspace=nasbench201, got "
            f"searchspace={space.name}. Choose what evaluates it: evaluator=supernet (with its "
            "weights: supernet=FILE), evaluator=predictor (evaluator.file=FILE), or its own; "
            "its YAML can choose by itself: `- override /evaluator@_global_.evaluator: supernet`"
        )
    return space


def all_keys() -> Iterator[str]:
    """Iterate over the six-digit keys of the 15,625 cells."""
    digits = "".join(str(i) for i in range(len(OPERATIONS)))
    return map("".join, product(digits, repeat=len(EDGES)))


def name_of(key: str) -> str:
    """Spell a six-digit key as the benchmark spells cells: `|op~0|+|op~0|op~1|+…`."""
    return cell_string(OPERATIONS[int(digit)] for digit in key)


def keys_by_name() -> dict[str, str]:
    """Map the benchmark's spelling of every cell to its six-digit key."""
    spelling = cell_string(["{}"] * len(EDGES))
    cells = product(OPERATIONS, repeat=len(EDGES))  # in the order of `all_keys`
    return {spelling.format(*ops): key for ops, key in zip(cells, all_keys(), strict=True)}
