"""Accuracies looked up in the tables of NAS-Bench-201 instead of measured.

The number is the accuracy after 200 epochs, the mean over the training seeds, as the benchmark's
authors report it (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326). A search reads validation
accuracies; test accuracies are out of its reach (see `SealedTest`), unless it asks for that split
by name.
"""

from __future__ import annotations

from typing import Literal

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import Metrics
from collm_nas.evaluator.tables import Split, Standing, read_table
from collm_nas.spaces.base import SearchSpace

OBJECTIVES: dict[Split, str] = {"valid": "val_accuracy", "test": "test_accuracy"}


class TabularEvaluator:
    """Looks accuracies up. The metric is named after the split, so every output says which it is.

    Args:
        space: `NASBench201`; its data set is the one that is read.
        table: a file or folder as docs/nasbench201.md lists them; `None` is the embedded table,
            which has validation accuracies only.
        seed: of the training, 777, 888 or 999; `None` is the mean over those that a cell has.
        partial: accept a table that lacks cells.
        split: which accuracies; `test` leaks the test set into the search.

    Raises:
        ValueError: another space, no such seed, or a table that cannot be used.
    """

    def __init__(
        self,
        space: SearchSpace,
        table: str | None = None,
        seed: Literal[777, 888, 999] | None = None,
        partial: bool = False,
        split: Split = "valid",
    ) -> None:
        self.table = read_table(space, split, table, seed, partial)
        self.objective = OBJECTIVES[split]
        self.protocol = str(self.table.quantity)

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return e.g. `{"val_accuracy": percent}`; see `Evaluator`."""
        return {self.objective: self.table.accuracy(arch)}

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with the whole benchmark on the same split: for reports after a search."""
        return self.table.standing(arch)
