"""Turn the official files of NATS-Bench into one small table, once.

    python -m collm_nas.spaces.nasbench201.convert NATS-tss-v1_0-3ffb9-simple nasbench201.csv.xz

The target holds everything that a search or a report reads, in about 1 MB instead of 1.3 GB, and is
read in a fifth of a second. It appears whole or not at all.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import IO, Any

from rich.progress import track

from collm_nas.core.files import replacing
from collm_nas.spaces.benchmark import Split, TableError
from collm_nas.spaces.nasbench201.cells import CELLS, SEEDS, Quantity
from collm_nas.spaces.nasbench201.columns import (
    OPENERS,
    PARQUET,
    PREFIXES,
    SUFFIXES,
    accuracy_column,
    suffix_of,
)
from collm_nas.spaces.nasbench201.nats import ENTRIES, Cell, read_cells

SPLITS: tuple[Split, ...] = ("valid", "test")
COSTS = {"flops_m": 6, "params_m": 6, "latency_s": 6, "train_time_s": 2}  # decimals

Row = dict[str, str | float | None]


def convert(
    source: Path,
    target: Path,
    partial: bool = False,
    progress: Callable[[Iterable[Cell], int], Iterable[Cell]] = lambda cells, total: cells,
) -> int:
    """Write the table of an official folder or single file; return its number of rows.

    Args:
        source: `NATS-tss-v1_0-3ffb9-simple` or `NATS-tss-v1_0-3ffb9.pickle.pbz2`.
        target: a file `*.csv`, `*.csv.xz`, `*.csv.gz` or `*.parquet` that does not exist.
        partial: accept a source that lacks cells.
        progress: wraps the iteration over the cells, of which there are so many.

    Raises:
        TableError: the source is damaged, of another kind or not complete; the target is of no
            known kind or exists.
        OSError: the target cannot be written.
    """
    if not suffix_of(target):
        raise TableError(f"the target must end in one of {', '.join(SUFFIXES)}, got {target}")
    if target.exists():
        raise TableError(f"{target} exists. Remove it, or name another target.")
    if not source.exists():
        raise TableError(f"{source} does not exist")
    with replacing(target) as part:
        cells = read_cells(source)
        if len(cells) < CELLS and not partial:
            raise TableError(
                f"{source} has {len(cells):,} of the {CELLS:,} cells. Complete its download, or "
                f"convert what there is with --partial."
            )
        rows = [row_of(cell) for cell in progress(cells.values(), len(cells))]
        (_write_parquet if suffix_of(target) == PARQUET else _write_csv)(part, target, rows)
    return len(rows)


def row_of(cell: Cell) -> Row:
    """Return the columns of one cell; `None` where it was not trained with a seed."""
    row: Row = {"arch": cell.name}
    for dataset in PREFIXES:
        for split in SPLITS:
            for seed in (None, *SEEDS):
                value = cell.accuracy(Quantity(dataset, split, seed))
                row[accuracy_column(dataset, split, seed)] = value
    for dataset, prefix in PREFIXES.items():
        # of the training that the validation accuracy belongs to: on CIFAR-10, half the images
        trained_on, _ = ENTRIES[dataset, "valid"]
        trials = [trial for (name, _), trial in cell.trials.items() if name == trained_on]
        for cost, decimals in COSTS.items():
            values = [v for trial in trials if not isnan(v := getattr(trial, cost))]
            row[f"{prefix}_{cost}"] = round(sum(values) / len(values), decimals) if values else None
    return row


def _write_csv(part: Path, target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file: IO[str]
    with OPENERS[suffix_of(target)](part, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(part: Path, target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        from pyarrow import Table, parquet
    except ImportError:
        raise TableError(
            f"writing {target} needs pyarrow: `pip install 'collm-nas[parquet]'`, or use CSV"
        ) from None
    parquet.write_table(Table.from_pylist(list(rows)), part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m collm_nas.spaces.nasbench201.convert",
        description="Turn the official NATS-Bench files of NAS-Bench-201 into one small table.",
    )
    parser.add_argument("source", type=Path, help="folder NATS-tss-…-simple or file *.pickle.pbz2")
    parser.add_argument("target", type=Path, help=f"file {', '.join(f'*{s}' for s in SUFFIXES)}")
    parser.add_argument("--partial", action="store_true", help="accept a source that lacks cells")
    args = parser.parse_args(arguments)
    print(f"opening {args.source}", flush=True)  # a single file takes minutes to open
    try:
        rows = convert(args.source, args.target, args.partial, _progress_bar)
    except (TableError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.target}: {rows:,} cells")
    return 0


def _progress_bar(cells: Iterable[Cell], total: int) -> Iterable[Cell]:
    return track(cells, "reading", total=total)


if __name__ == "__main__":
    sys.exit(main())
