"""The official files of NATS-Bench's topology space, which is NAS-Bench-201 with all its seeds.

Dong et al., 2021, https://arxiv.org/abs/2009.00437. They come as a folder with one file for each
cell (`NATS-tss-v1_0-3ffb9-simple`) or as one big file; which entry is which accuracy follows the
official API with `hp="200"` and `is_random=False`.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

from collm_nas.core.unpickling import load
from collm_nas.spaces.benchmark import TableError, check_percentages, mean_accuracy
from collm_nas.spaces.nasbench201.cells import Quantity, keys_by_name, name_of

SUFFIX = ".pickle.pbz2"
EPOCHS = "200"  # the API's `hp`; its default, "12", is a short training that nobody reports
# (data set of ours, split) -> (data set trained on, images evaluated on). Validation on CIFAR-10
# is that of networks trained on half the training images, test that of ones trained on all.
ENTRIES = {
    ("cifar10", "valid"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "valid"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("imagenet16-120", "valid"): ("ImageNet16-120", "x-valid"),
    ("imagenet16-120", "test"): ("ImageNet16-120", "x-test"),
}


@dataclass(frozen=True)
class Trial:
    """One training: what is kept of it."""

    accuracy: Mapping[str, float]  # images evaluated on -> percent after the last epoch
    flops_m: float
    params_m: float
    latency_s: float
    train_time_s: float


@dataclass(frozen=True)
class Cell:
    """All the trainings of one cell over 200 epochs."""

    name: str  # |op~0|+|op~0|op~1|+|op~0|op~1|op~2|
    trials: Mapping[tuple[str, int], Trial]  # (data set trained on, seed)

    def accuracy(self, quantity: Quantity) -> float | None:
        """Return the mean over the seeds, or that of one; `None` if there is no such training."""
        dataset, images = ENTRIES[quantity.dataset, quantity.split]
        percents = [
            trial.accuracy[images]
            for (trained_on, seed), trial in self.trials.items()
            if trained_on == dataset and quantity.seed in (None, seed) and images in trial.accuracy
        ]
        return mean_accuracy(percents)


class Folder(Mapping[str, Cell]):
    """The cells of a folder by their keys; the file of a cell is read whenever it is asked for.

    Raises:
        TableError: a file is damaged or of another space; on construction, too.
    """

    def __init__(self, folder: Path) -> None:
        meta = folder / f"meta{SUFFIX}"
        if not meta.exists():
            raise TableError(
                f"{folder} has no {meta.name}: it is not the folder of NATS-Bench's topology "
                f"space (NATS-tss-v1_0-3ffb9-simple), or its download is not complete"
            )
        there = {path.name for path in folder.iterdir()}
        files = {key: f"{index:06d}{SUFFIX}" for index, key in enumerate(_keys(_load(meta), meta))}
        self.files = {key: folder / name for key, name in files.items() if name in there}

    def __getitem__(self, key: str) -> Cell:
        path = self.files[key]
        return _cell(_load(path), key, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


class Accuracies(Mapping[str, float | None]):
    """One accuracy of each cell of an official source, read from the file when asked for."""

    def __init__(self, cells: Mapping[str, Cell], quantity: Quantity) -> None:
        self.cells = cells
        self.quantity = quantity

    def __getitem__(self, key: str) -> float | None:
        return self.cells[key].accuracy(self.quantity)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def read_cells(path: Path) -> Mapping[str, Cell]:
    """Open the official folder, or load the official single file, whole.

    Raises:
        TableError: it is neither.
    """
    if path.is_dir():
        return Folder(path)
    content = _load(path)
    keys = _keys(content, path)
    infos = content.get("arch2infos")
    if not isinstance(infos, dict):
        raise TableError(f"{path} holds no results (arch2infos): is it a meta{SUFFIX} file?")
    if strange := [index for index in infos if index not in range(len(keys))]:
        raise TableError(f"{path} has results of cell {strange[0]!r}, but lists {len(keys)} cells")
    return {keys[index]: _cell(infos[index], keys[index], path) for index in infos}


def _keys(content: Any, path: Path) -> list[str]:
    """Return the keys of the cells in the official order, which is shuffled."""
    names = content.get("meta_archs") if isinstance(content, dict) else None
    if not isinstance(names, list) or not names:
        raise TableError(f"{path} is no file of NATS-Bench: it lists no architectures (meta_archs)")
    known = keys_by_name()
    if strange := [name for name in map(str, names) if name not in known]:
        raise TableError(
            f"{path} is of another search space: {strange[0]!r} is not a cell of NAS-Bench-201. "
            f"The file wanted is that of the topology space, NATS-tss-…"
        )
    return [known[name] for name in names]


def _cell(content: Any, key: str, path: Path) -> Cell:
    cell = content.get(EPOCHS) if isinstance(content, dict) else None
    if not isinstance(cell, Cell):
        raise TableError(f"{path} has no results of {EPOCHS} epochs for the cell {name_of(key)}")
    if cell.name != name_of(key):
        raise TableError(f"{path} is of the cell {cell.name}, not {name_of(key)}: was it renamed?")
    for trial in cell.trials.values():
        check_percentages(trial.accuracy.values(), f"{path}, cell {cell.name}")
    return cell


# -- unpickling -----------------------------------------------------------------------------


class _Kept(dict[Any, Any]):
    """Stands in for OrderedDict: where it maps epochs to results, it keeps what is read here.

    The rest, the learning curves, is dropped while unpickling goes on: the single file would take
    about 32 GB otherwise, and takes 12 so.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, dict) and "all_results" in value:
            results, value = value, _summarise(value)
            for trial in results["all_results"].values():
                for part in trial.values():
                    if isinstance(part, dict):
                        part.clear()
        super().__setitem__(key, value)


class _Float64:
    """Stands in for `numpy.dtype`, of which the files use 8-byte floats alone."""

    def __init__(self, code: str, *_: Any) -> None:
        if code != "f8":
            raise ValueError(f"an array type {code!r} where 'f8' was expected")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] != "<":
            raise ValueError(f"byte order {state[1]!r} where '<' was expected")


def _scalar(_: _Float64, data: bytes) -> float:
    """Stand in for `numpy.core.multiarray.scalar`; numpy's own trusts what it is given."""
    return float(struct.unpack("<d", data)[0])


KNOWN = {
    ("collections", "OrderedDict"): _Kept,
    ("numpy", "dtype"): _Float64,
    ("numpy.core.multiarray", "scalar"): _scalar,
}


def _load(path: Path) -> Any:
    return load(path, bz2.open, KNOWN, TableError)


def _summarise(results: dict[str, Any]) -> Cell:
    trials = {(name, seed): _trial(t) for (name, seed), t in results["all_results"].items()}
    return Cell(results["arch_str"], trials)


def _trial(trial: dict[str, Any]) -> Trial:
    last = trial["epochs"] - 1
    return Trial(
        accuracy={
            name: float(trial["eval_acc1es"][f"{name}@{last}"]) for name in trial["eval_names"]
        },
        flops_m=float(trial["flop"]),
        params_m=float(trial["params"]),
        latency_s=fmean(trial["latency"]) if trial["latency"] else nan,
        train_time_s=float(sum(trial["train_times"].values())),
    )
