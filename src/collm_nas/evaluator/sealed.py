"""Test accuracies of a benchmark, opened after a search by the commands that report on it.

A search never holds this object, so nothing it does can depend on a test accuracy.
"""

from __future__ import annotations

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.benchmark import Standing, read_table


class SealedTest:
    """Looks test accuracies up, the mean over the training seeds.

    Args:
        space: one with a benchmark (`SearchSpace.tables`).
        table: a file or folder with test accuracies, as docs/nasbench201.md lists them. The
            embedded table (`None`) has none: the error says which have.
        partial: accept a table that lacks cells.

    Raises:
        ValueError: another space, or a table that cannot be used.
    """

    def __init__(self, space: SearchSpace, table: str | None = None, partial: bool = False) -> None:
        self.table = read_table(space, "test", table, partial=partial)

    def test_accuracy(self, arch: Architecture) -> float:
        """Return the test accuracy of `arch` in percent.

        Raises:
            EvaluationFailed: the table has no number for it.
        """
        return self.table.accuracy(arch)

    def standing(self, arch: Architecture) -> Standing:
        """Compare `arch` with the whole benchmark, on test."""
        return self.table.standing(arch)
