"""Costs looked up in a table of NAS-Bench-201, such as latencies measured on a device.

HW-NAS-Bench (Li et al., 2021, https://arxiv.org/abs/2103.10584) and HELP (Lee et al., 2021,
https://arxiv.org/abs/2106.08630) measured every cell on many devices; any CSV or Parquet file
with a column `arch` and one column for each cost will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.benchmark import TableError
from collm_nas.spaces.nasbench201.cells import all_keys, keys_by_name, name_of
from collm_nas.spaces.nasbench201.columns import read_columns, suffix_of
from collm_nas.spaces.nasbench201.space import NASBench201


@checked
class TableCosts:
    """The closed-form costs of a cell, and those in some columns of a table.

    Args:
        space: `NASBench201`.
        table: a CSV or Parquet file with a column `arch` (the benchmark's cell strings).
        columns: the columns to read; limits and charts call the costs by these names.

    Raises:
        ValueError: another space, or a table that lacks a column, a cell or a number.
    """

    def __init__(
        self, space: SearchSpace, table: Text, columns: Annotated[Sequence[Text], MinLen(1)]
    ) -> None:
        if not isinstance(space, NASBench201):
            raise ValueError(f"hardware=table is for searchspace=nasbench201, got {space.name}")
        self.space = space
        path = Path(table).expanduser()
        if not suffix_of(path):
            raise TableError(f"{path} is no table of costs: expected a CSV or Parquet file")
        keys = keys_by_name()
        self.table: dict[str | None, dict[str, float]] = {
            keys.get(name): {c: _cost(v) for c, v in zip(columns, values, strict=True)}
            for name, *values in read_columns(path, ["arch", *columns])
        }
        for key in all_keys():
            row = self.table.get(key, {})
            if wrong := [c for c in columns if not isfinite(row.get(c, float("nan")))]:
                raise TableError(f"{path} has no {', '.join(wrong)} of the cell {name_of(key)}")

    def costs(self, arch: Architecture) -> Metrics:
        return {**self.space.costs(arch), **self.table[self.space.key(arch)]}


def _cost(value: object) -> float:
    """Read a number; what is none becomes NaN, which the constructor reports with its cell."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
