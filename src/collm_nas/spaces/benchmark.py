"""What a benchmark is: the accuracies of all networks of a space, looked up instead of measured.

A space that has one names the reader of its tables (`SearchSpace.tables`). All readers end here, so
that a number means the same whichever file it comes from: percent, to four decimals.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal, Protocol, cast, runtime_checkable

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed
from collm_nas.spaces.base import SearchSpace

Split = Literal["valid", "test"]


class TableError(ValueError):
    """A table that cannot be used: the message names the file, what is wrong, what to do."""


@dataclass(frozen=True)
class Rank:
    """The place of an architecture among all those of a table."""

    rank: int  # 1 is the best; equals share a rank
    of: int
    regret: float  # percentage points below the best
    optimum: float  # percent


@runtime_checkable
class Benchmark(Protocol):
    """An evaluator that knows all architectures, so that it can rank one among them."""

    def rank(self, arch: Architecture) -> Rank:
        """Compare `arch` with all the others by the accuracy that is looked up."""


@dataclass(frozen=True)
class Table:
    """One accuracy for each architecture.

    Args:
        source: the file or folder, for messages.
        quantity: which accuracy it is, e.g. `CIFAR-10 validation accuracy (mean over seeds)`.
        cells: `SearchSpace.key` -> percent; `None` where a benchmark has no such number.
    """

    source: str
    quantity: str
    space: SearchSpace
    cells: Mapping[str, float | None]

    def accuracy(self, arch: Architecture) -> float:
        """Look `arch` up, in percent.

        Raises:
            EvaluationFailed: the table has no such number for it.
        """
        value = self.cells.get(self.space.key(arch))
        if value is None:
            name = json.dumps(self.space.encode(arch))
            raise EvaluationFailed(f"{self.source} has no {self.quantity} of {name}")
        return value

    def rank(self, arch: Architecture) -> Rank:
        """Compare `arch` with all the architectures that have a number.

        Raises:
            EvaluationFailed: the table has no number for `arch`.
        """
        accuracy = self.accuracy(arch)
        ranked = self._ascending
        better = len(ranked) - bisect_right(ranked, accuracy)
        return Rank(better + 1, len(ranked), round(ranked[-1] - accuracy, 4), ranked[-1])

    @cached_property
    def _ascending(self) -> list[float]:
        return sorted(value for value in self.cells.values() if value is not None)


def read_table(
    space: SearchSpace,
    split: Split,
    source: str | Path | None = None,
    seed: int | None = None,
    partial: bool = False,
) -> Table:
    """Read the accuracies of all architectures of `space`.

    Args:
        split: which images: validation or test.
        source: a file or folder; `None` is the table that is there after the install.
        seed: of the training; `None` is the mean over those that an architecture has.
        partial: accept a source that has not all of them.

    Raises:
        ValueError: the space has no benchmark, or there is no such seed.
        TableError: the source cannot be used.
    """
    if not space.tables:
        raise ValueError(
            "benchmark tables need a space whose networks were all trained, such as "
            f"searchspace=nasbench201, got searchspace={space.name}. Choose what evaluates it: "
            "evaluator=supernet (with its weights: supernet=FILE), evaluator=predictor "
            "(evaluator.file=FILE), or its own; its YAML can choose by itself: "
            "`- override /evaluator@_global_.evaluator: supernet`"
        )
    return cast(Table, resolve_name(space.tables)(space, split, source, seed, partial))


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
