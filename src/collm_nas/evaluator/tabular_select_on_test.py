"""The convention of the CoLLM-NAS paper on NAS-Bench-201: candidates are ranked by test accuracy.

It leaks the test set into the search and exists to reproduce the paper's table. The metric is
called `test_accuracy`, so that the objective, every record and every output say so.
"""

from __future__ import annotations

from collm_nas.architecture import Architecture
from collm_nas.evaluator.tables import Standing, read_table
from collm_nas.problem import Metrics
from collm_nas.searchspace.base import SearchSpace


class SelectOnTestEvaluator:
    """Looks test accuracies up, for a search whose objective is `test_accuracy`.

    Args:
        space: `NASBench201`; its data set is the one that is read.
        table: a file or folder with test accuracies, as docs/nasbench201.md lists them.
        partial: accept a table that lacks cells.

    Raises:
        ValueError: another space, or a table that cannot be used.
    """

    objective = "test_accuracy"

    def __init__(self, space: SearchSpace, table: str | None, partial: bool = False) -> None:
        self.table = read_table(space, "test", table, partial=partial)
        self.protocol = str(self.table.quantity)

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return `{"test_accuracy": percent}`; see `Evaluator`."""
        return {self.objective: self.table.accuracy(arch)}

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with the whole benchmark, on test."""
        return self.table.standing(arch)
