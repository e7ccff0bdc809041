"""Accuracies looked up in the tables of a benchmark instead of measured.

That of NAS-Bench-201 is the accuracy after 200 epochs, the mean over the training seeds, as its
authors report it (Dong & Yang, 2020, https://arxiv.org/abs/2001.00326). A search reads validation
accuracies; the commands that report on it read test accuracies, after the search. One that ranks
by them from the start leaks the test set, as the CoLLM-NAS paper does on NAS-Bench-201: it has
to ask for that split by name, and its objective, every record and every output say so.
"""

from __future__ import annotations

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Seed, Text
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.benchmark import Rank, Split, read_table

OBJECTIVES: dict[Split, str] = {"valid": "val_accuracy", "test": "test_accuracy"}


@checked
class TabularEvaluator:
    """Looks accuracies up. The metric is named after the split, so every output says which it is.

    Args:
        space: one with a benchmark (`SearchSpace.tables`).
        table: a file or folder as docs/nasbench201.md lists them; `None` is the embedded table,
            which has validation accuracies only.
        seed: of the training; `None` is the mean over those that an architecture has.
        partial: accept a table that lacks cells.
        split: which accuracies; `test` leaks the test set into the search.

    Raises:
        ValueError: another space, no such seed, or a table that cannot be used.
    """

    report_mode = "table"

    def __init__(
        self,
        space: SearchSpace,
        table: Text | None = None,
        seed: Seed | None = None,
        partial: bool = False,
        split: Split = "valid",
    ) -> None:
        self.table = read_table(space, split, table, seed, partial)
        self.objective = OBJECTIVES[split]
        self.protocol = self.table.quantity

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return e.g. `{"val_accuracy": percent}`; see `Evaluator`."""
        return {self.objective: self.table.accuracy(arch)}

    def rank(self, arch: Architecture) -> Rank:
        """Compare `arch` with the whole benchmark on the same split: for reports after a search."""
        return self.table.rank(arch)
