"""With short names, the edges are told in an order of their own, and cells are read back in it."""

from __future__ import annotations

import random
import re

import pytest

from collm_nas.core.architecture import InvalidArchitecture
from collm_nas.prompting.dialect import Dialect, Names, dialect_of
from collm_nas.prompting.texts import description
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string

CELL = parse_cell_string(
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
)


def told(names: Names, order_seed: object = None) -> Dialect:
    return dialect_of(NASBench201(), names, order_seed)


def told_edges(dialect: Dialect) -> list[str]:
    return description(dialect).partition("for the edges ")[2].partition(":")[0].split(", ")


def test_the_digits_follow_the_edges_as_told() -> None:
    short = told("short", 0)
    order = told_edges(short)
    digits = {"0->1": "3", "0->2": "0", "1->2": "1", "0->3": "4", "1->3": "2", "2->3": "3"}
    assert sorted(order) == sorted(digits)
    assert short.encode(CELL) == {"cell": "".join(digits[edge] for edge in order)}


def test_another_order_writes_the_same_cell_otherwise() -> None:
    short = told("short")
    assert len({short.reordered(i).encode(CELL)["cell"] for i in range(9)}) > 3
    assert short.encode(CELL) == {"cell": "301423"}


@pytest.mark.parametrize("names", ["official", "opaque"])
def test_another_order_keeps_the_names(names: Names) -> None:
    dialect = told(names, 1)
    assert dialect.reordered(2).encode(CELL) == dialect.encode(CELL)
    assert description(dialect.reordered(2)) != description(dialect)


@pytest.mark.parametrize("order_seed", [None, 1, 2, 3])
def test_what_was_told_is_read_back(order_seed: int | None) -> None:
    short = told("short", order_seed)
    for i in range(100):
        arch = short.space.sample(random.Random(i))
        assert short.decode(short.encode(arch)) == arch


def test_an_error_names_the_edge_that_the_wrong_digit_stands_for() -> None:
    short = told("short", 0)
    with pytest.raises(InvalidArchitecture, match=f"edge {told_edges(short)[-1]} must be"):
        short.decode({"cell": "000009"})


def test_known_cells_are_left_out_of_the_schema_of_digits() -> None:
    short = told("short")
    pattern = re.compile(short.schema(exclude=[CELL])["properties"]["cell"]["pattern"])
    assert not pattern.match("301423")
    assert pattern.match("301424")


def test_opaque_names_hide_the_data_set() -> None:
    assert told("official").task == "image classification on CIFAR-10"
    assert told("opaque").task == "image classification on a small data set"
