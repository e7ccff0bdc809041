"""The files of NAS-Bench-201 that the tests of this folder read, and ways to damage copies."""

from __future__ import annotations

import bz2
import csv
import lzma
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.nasbench201.space import OPERATIONS, parse_cell_string

ROOT = Path(__file__).parents[2]
SRC = str(ROOT / "src")  # for commands that tests start
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))
CSV = SHARED / "data" / "nasbench201.csv.xz"  # all cells, made from other sources than ours
OFFICIAL = SHARED / "data" / "nats_official_fixtures" / "NATS-tss-v1_0-3ffb9-simple"  # 3 cells
OFFICIAL_SIZES = OFFICIAL.with_name("NATS-sss-v1_0-50262-simple")  # the other space of NATS-Bench

needs_shared = pytest.mark.skipif(
    not CSV.exists(), reason=f"no {CSV}: set COLLM_SHARED to the folder that holds data/"
)

COLUMN = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}
BEST = parse_cell_string(  # of CIFAR-10 validation, index 6111 of the official order
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)
EMPTY = parse_cell_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def rows_of(path: Path = CSV) -> list[dict[str, str]]:
    """Read a table with the standard library alone."""
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt") as file:
        return list(csv.DictReader(file))


def architectures() -> list[Architecture]:
    """List all cells."""
    return [Architecture.of({"op": ops}) for ops in product(OPERATIONS, repeat=6)]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a plain CSV table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_pbz2(path: Path, content: Any) -> Path:
    """Write a pickle as NATS-Bench does."""
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
    return path


def official_folder(
    path: Path, meta: list[str], change: Callable[[Any], None] = lambda cell: None
) -> Path:
    """Write a folder in the official layout with one small cell for each name in `meta`."""
    path.mkdir()
    write_pbz2(path / "meta.pickle.pbz2", {"meta_archs": meta, "arch2infos": None})
    for index, name in enumerate(meta):
        cell = official_cell(name, percent=float(index % 100))
        change(cell)
        write_pbz2(path / f"{index:06d}.pickle.pbz2", cell)
    return path


def official_cell(name: str, percent: float) -> Any:
    """Build one cell in the official layout: two seeds, `percent` on everything at epoch 200."""
    trainings = {"cifar10-valid": ["x-valid", "ori-test"], "cifar10": ["ori-test"]}
    for dataset in ("cifar100", "ImageNet16-120"):
        trainings[dataset] = ["ori-test", "x-valid", "x-test"]
    all_results = {
        (dataset, seed): {
            "epochs": 200,
            "eval_names": sets,
            "eval_acc1es": {f"{images}@{epoch}": percent for images in sets for epoch in (0, 199)},
            "train_times": OrderedDict({0: 1.0, 1: 2.0}),
            "latency": [0.01],
            "flop": 1.0,
            "params": 1.0,
        }
        for dataset, sets in trainings.items()
        for seed in (777, 888)
    }
    return OrderedDict({"12": {}, "200": {"arch_str": name, "all_results": all_results}})
