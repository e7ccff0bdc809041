"""With short names, the edges are told in an order of their own, and cells are read back in it."""

from __future__ import annotations

import random
from typing import Literal

import pytest

from collm_nas.core.architecture import InvalidArchitecture
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string

CELL = parse_cell_string(
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
)


def test_the_digits_follow_the_edges_as_told() -> None:
    told = NASBench201(names="short", order_seed=0)
    order = told.knowledge().partition("for the edges ")[2].partition(":")[0].split(", ")
    digits = {"0->1": "3", "0->2": "0", "1->2": "1", "0->3": "4", "1->3": "2", "2->3": "3"}
    assert sorted(order) == sorted(digits)
    assert told.encode(CELL) == {"cell": "".join(digits[edge] for edge in order)}


def test_a_retold_space_writes_the_same_cell_otherwise() -> None:
    space = NASBench201(names="short")
    assert len({space.retold(i).encode(CELL)["cell"] for i in range(9)}) > 3
    assert space.encode(CELL) == {"cell": "301423"}


@pytest.mark.parametrize("names", ["official", "opaque"])
def test_a_retold_space_keeps_its_names(names: Literal["official", "opaque"]) -> None:
    space = NASBench201(names=names, order_seed=1)
    assert space.retold(2).encode(CELL) == space.encode(CELL)
    assert space.retold(2).knowledge() != space.knowledge()


@pytest.mark.parametrize("order_seed", [None, 1, 2, 3])
def test_what_was_told_is_read_back(order_seed: int | None) -> None:
    space = NASBench201(names="short", order_seed=order_seed)
    for i in range(100):
        arch = space.sample(random.Random(i))
        assert space.decode(space.encode(arch)) == arch


def test_an_error_names_the_edge_that_the_wrong_digit_stands_for() -> None:
    space = NASBench201(names="short", order_seed=0)
    last = space.knowledge().partition("for the edges ")[2].partition(":")[0].split(", ")[-1]
    with pytest.raises(InvalidArchitecture, match=f"edge {last} must be"):
        space.decode({"cell": "000009"})
