"""Costs from a table: read by column, next to the closed-form ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from collm_nas.spaces.nasbench201.cells import all_keys, name_of
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string
from collm_nas.spaces.nasbench201.table_costs import TableCosts

ROOT = Path(__file__).parents[2]
LATENCIES = (
    Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))
    / "data"
    / "nasbench201_latency.csv.xz"
)
FIRST = parse_cell_string(  # index 0 of the official order
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)


def write(path: Path, rows: list[tuple[str, object]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arch", "watt"), *rows])
    return str(path)


@pytest.mark.skipif(not LATENCIES.exists(), reason=f"no {LATENCIES}: set COLLM_SHARED")
def test_latencies_are_those_that_hw_nas_bench_prints() -> None:
    """The values of the first cell in the README of HW-NAS-Bench, to four digits."""
    columns = ["help_pixel3_ms", "help_eyeriss_ms", "help_fpga_ms", "help_raspi4_ms"]
    costs = TableCosts(NASBench201(), str(LATENCIES), columns).costs(FIRST)
    printed = [3.60585, 3.64562, 2.57296, 10.481976820]
    assert [costs[c] for c in columns] == pytest.approx(printed, abs=1e-3)
    assert (costs["macs"], costs["params"]) == (15_647_370, 129_306)


def test_every_cell_must_have_a_number(tmp_path: Path) -> None:
    rows: list[tuple[str, object]] = [(name_of(key), 1.5) for key in all_keys()]
    costs = TableCosts(NASBench201(), write(tmp_path / "t.csv", rows), ["watt"]).costs(FIRST)
    assert costs["watt"] == 1.5
    for damaged in (rows[:-1], [*rows[:-1], (rows[-1][0], "")], [*rows[:-1], (rows[-1][0], "inf")]):
        table = write(tmp_path / "t.csv", damaged)
        with pytest.raises(ValueError, match=r"t\.csv has no watt of the cell \|avg_pool"):
            TableCosts(NASBench201(), table, ["watt"])


def test_missing_columns_and_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the columns volt, ohm; it has arch, watt"):
        TableCosts(NASBench201(), write(tmp_path / "t.csv", []), ["watt", "volt", "ohm"])
    with pytest.raises(ValueError, match=r"t\.txt is no table of costs"):
        TableCosts(NASBench201(), str(tmp_path / "t.txt"), ["watt"])
