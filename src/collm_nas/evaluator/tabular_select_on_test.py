"""The convention of the CoLLM-NAS paper on NAS-Bench-201: candidates are ranked by test accuracy.

It leaks the test set into the search and exists to reproduce the paper's table. The metric is
called `test_accuracy`, so that the objective, every record and every output say so.
"""

from __future__ import annotations

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Text
from collm_nas.evaluator.tabular import TabularEvaluator
from collm_nas.spaces.base import SearchSpace


@checked
class SelectOnTestEvaluator(TabularEvaluator):
    """`TabularEvaluator` of the test split, under a name that cannot be overlooked in a config.

    Args:
        space: one with a benchmark (`SearchSpace.tables`).
        table: a file or folder with test accuracies, as docs/nasbench201.md lists them.
        partial: accept a table that lacks cells.

    Raises:
        ValueError: another space, or a table that cannot be used.
    """

    def __init__(self, space: SearchSpace, table: Text | None, partial: bool = False) -> None:
        super().__init__(space, table, partial=partial, split="test")
