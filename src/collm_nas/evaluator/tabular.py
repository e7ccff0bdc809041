"""Accuracies looked up in the tables of NAS-Bench-201 instead of measured.

The number is the validation accuracy after 200 epochs, the mean over the training seeds, as the
benchmark's authors report it (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326). Test
accuracies are out of reach here: see `SealedTest`.
"""

from __future__ import annotations

from collm_nas.architecture import Architecture
from collm_nas.evaluator.tables import Standing, read_table
from collm_nas.problem import Metrics
from collm_nas.searchspace.base import SearchSpace


class TabularEvaluator:
    """Looks validation accuracies up.

    Args:
        space: `NASBench201`; its data set is the one that is read.
        table: a file or folder as docs/nasbench201.md lists them; `None` is the embedded table.
        seed: of the training, 777, 888 or 999; `None` is the mean over those that a cell has.
        partial: accept a table that lacks cells.

    Raises:
        ValueError: another space, no such seed, or a table that cannot be used.
    """

    objective = "val_accuracy"

    def __init__(
        self,
        space: SearchSpace,
        table: str | None = None,
        seed: int | None = None,
        partial: bool = False,
    ) -> None:
        self.table = read_table(space, "valid", table, seed, partial)
        self.protocol = str(self.table.quantity)

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return `{"val_accuracy": percent}`; see `Evaluator`."""
        return {self.objective: self.table.accuracy(arch)}

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with the whole benchmark, on validation: for reports after a search."""
        return self.table.standing(arch)
