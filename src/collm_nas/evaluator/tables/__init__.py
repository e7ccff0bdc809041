"""Benchmark tables of NAS-Bench-201: `read_table` reads any of the sources, checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from collm_nas.evaluator.tables import columns, embedded, nats
from collm_nas.evaluator.tables.table import (
    CELLS,
    Benchmark,
    Quantity,
    Split,
    Standing,
    Table,
    TableError,
    all_keys,
    as_benchmark,
    name_of,
)
from collm_nas.spaces.base import SearchSpace

__all__ = ["Benchmark", "Split", "Standing", "Table", "TableError", "read_table"]

log = logging.getLogger(__name__)


def read_table(
    space: SearchSpace,
    split: Split,
    source: str | Path | None = None,
    seed: int | None = None,
    partial: bool = False,
) -> Table:
    """Read the accuracies of all cells on the data set of `space`.

    Args:
        space: the cells of NAS-Bench-201 on one of its data sets.
        split: which images: validation or test.
        source: the official folder or `.pickle.pbz2` file, a CSV or Parquet file; `None` is the
            embedded table.
        seed: 777, 888 or 999; `None` is the mean over those that a cell has.
        partial: accept a source that has not all 15,625 cells.

    Raises:
        ValueError: the space is another one, or there is no such seed.
        TableError: the source cannot be used.
    """
    space = as_benchmark(space)
    quantity = Quantity(space.dataset, split, seed)
    path = embedded.path_of(space.dataset) if source is None else Path(source).expanduser()
    cells = embedded.read(path, quantity) if source is None else _read_file(path, quantity)
    _check(path, quantity, cells, partial)
    return Table(str(path), quantity, space, cells)


def _read_file(path: Path, quantity: Quantity) -> Mapping[str, float | None]:
    if not path.exists():
        raise TableError(
            f"{path} does not exist. Name the table of NAS-Bench-201: evaluator.table=PATH for a "
            "search, table=PATH for the other commands."
        )
    if path.is_dir() or path.name.endswith(nats.SUFFIX):
        log.warning(
            "%s: official files are slow to read (the single file at the start, a folder when a "
            "rank is asked for: minutes). Convert them once: "
            "python -m collm_nas.evaluator.tables.convert %s TARGET.csv.xz",
            path,
            path,
        )
        return nats.Accuracies(nats.read_cells(path), quantity)
    if columns.suffix_of(path):
        return columns.read(path, quantity)
    raise TableError(
        f"{path} is of no known kind. A table is a folder NATS-tss-v1_0-3ffb9-simple, a file "
        f"*{nats.SUFFIX} of NATS-Bench, or a file {', '.join(f'*{s}' for s in columns.SUFFIXES)}. "
        f"(The *.pth files of NAS-Bench-201 are not read: they can run code.)"
    )


def _check(
    path: Path, quantity: Quantity, cells: Mapping[str, float | None], partial: bool
) -> None:
    if not cells:
        raise TableError(f"{path} has no cell with a {quantity}")
    missing = [key for key in all_keys() if key not in cells]
    if missing and not partial:
        raise TableError(
            f"{path} has {CELLS - len(missing):,} of the {CELLS:,} cells; {name_of(missing[0])} "
            f"is missing, for one. Complete it, or use what there is with partial=true: then the "
            f"evaluation of a missing cell fails, and ranks count the cells that are there."
        )
    if all(value is None for value in cells.values()):
        raise TableError(f"{path} has no {quantity} of any cell")
