"""Benchmark tables as CSV or Parquet files: one row for each cell, one column for each number.

docs/nasbench201.md describes the columns. CSV may be compressed (`.csv.xz`, `.csv.gz`); Parquet
needs pyarrow, which is an optional dependency.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from collm_nas.spaces.benchmark import Split, TableError, check_percentages, mean_accuracy
from collm_nas.spaces.nasbench201.cells import Quantity, keys_by_name

OPENERS: dict[str, Any] = {".csv": open, ".csv.xz": lzma.open, ".csv.gz": gzip.open}
PARQUET = ".parquet"
SUFFIXES = (*OPENERS, PARQUET)
PREFIXES = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}

DAMAGE = (OSError, EOFError, UnicodeDecodeError, csv.Error, lzma.LZMAError, zlib.error)


def suffix_of(path: Path) -> str:
    """Return which of `SUFFIXES` the file name ends with; empty if none."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def column_of(quantity: Quantity) -> str:
    """Name the column that holds `quantity`, e.g. `cifar10_valid` or `cifar10_valid_seed777`."""
    return accuracy_column(quantity.dataset, quantity.split, quantity.seed)


def accuracy_column(dataset: str, split: Split, seed: int | None = None) -> str:
    """Name the column of an accuracy; without a seed, of the mean over the seeds."""
    mean = f"{PREFIXES[dataset]}_{split}"
    return mean if seed is None else f"{mean}_seed{seed}"


def read(path: Path, quantity: Quantity) -> dict[str, float | None]:
    """Read one accuracy of each cell, by its six-digit key.

    A cell without a mean is left out, as if the file had no row for it; one without the named
    seed is `None`.

    Raises:
        TableError: the file is damaged, lacks a column, or has a wrong value or a cell twice.
    """
    keys = keys_by_name()
    cells: dict[str, float | None] = {}
    for row, (name, text) in enumerate(read_columns(path, ["arch", column_of(quantity)]), start=1):
        place = f"{path}, row {row}"
        if name not in keys:
            raise TableError(f"{place}: {name!r} is not a cell of NAS-Bench-201")
        if (key := keys[name]) in cells:
            raise TableError(f"{place}: the cell {name} is there a second time")
        percents = [] if text in ("", None) else [_number(text, place)]
        check_percentages(percents, place)
        if percents or quantity.seed is not None:
            cells[key] = mean_accuracy(percents)
    return cells


def read_columns(path: Path, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of the named columns: text from CSV, typed values from Parquet.

    Raises:
        TableError: the file is damaged, or columns are missing (all are named).
    """
    reader = _parquet_rows if suffix_of(path) == PARQUET else _csv_rows
    try:
        yield from reader(path, names)
    except DAMAGE as error:
        raise TableError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Is it whole?"
        ) from error


def _csv_rows(path: Path, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    file: IO[str]
    with OPENERS[suffix_of(path)](path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        _check_header(path, names, header)
        places = [header.index(name) for name in names]
        for row in rows:
            if len(row) != len(header):
                raise TableError(
                    f"{path}, line {rows.line_num}: {len(row)} values for {len(header)} columns"
                )
            yield tuple(row[place] for place in places)


def _parquet_rows(path: Path, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise TableError(
            f"reading {path} needs pyarrow: `pip install 'collm-nas[parquet]'`, or use CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            _check_header(path, names, file.schema_arrow.names)
            columns = file.read(columns=list(names)).to_pydict()
    except pyarrow.ArrowException as error:
        raise TableError(f"{path} is no Parquet file, or damaged: {error}") from error
    yield from zip(*(columns[name] for name in names), strict=True)


def _check_header(path: Path, needed: Sequence[str], header: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in header]:
        raise TableError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(header) or 'none'}"
        )


def _number(value: object, place: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TableError(f"{place}: an accuracy must be a number, got {value!r}") from None
