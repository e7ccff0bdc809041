"""All cells of NAS-Bench-201 by their keys and names, and which of their accuracies is meant.

An accuracy is that after 200 epochs, the mean over the training seeds or that of a named one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from collm_nas.spaces.benchmark import Split
from collm_nas.spaces.nasbench201.space import DATASETS, EDGES, OPERATIONS, cell_string

SEEDS = (777, 888, 999)  # of the trainings; every cell has at least two of them
CELLS = len(OPERATIONS) ** len(EDGES)


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
