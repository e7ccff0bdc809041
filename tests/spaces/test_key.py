"""Keys: no two architectures share one, whatever the values are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

import pytest

from collm_nas.core.architecture import Architecture, Value
from collm_nas.spaces.base import Costs, SearchSpace, Variable
from collm_nas.spaces.mobilenet.published import PUBLISHED
from collm_nas.spaces.mobilenet.space import MobileNet


class Listed(SearchSpace):
    """Two lists over the same options, up to three values long."""

    name = "listed"

    def __init__(self, *options: Value) -> None:
        super().__init__([Variable("a", options, 3), Variable("b", options, 1)])

    def costs(self, arch: Architecture) -> Costs:
        return {"macs": 1, "params": 1}


def lists(options: Sequence[Value]) -> list[tuple[Value, ...]]:
    """List all values of a variable that a canonical form may have cut."""
    return [values for length in range(4) for values in product(options, repeat=length)]


@pytest.mark.parametrize(
    "options",
    [
        (1, 11, 111),
        (1, 11, 0),
        (0.5, 5, 50.5),
        (-1, 1, 11),
        ("a", "a-b", "b-a"),
        ("conv", "conv_3x3", "3x3"),
        ("1", 1, "+1+"),
        ("%2D", "-", "+"),
        ("", "~", "é"),
        ("x", "y", "z"),
        (1e30, 1e-7, "1e30"),
    ],
)
def test_no_two_architectures_share_a_key(options: tuple[Value, ...]) -> None:
    space = Listed(*options)
    archs = [Architecture.of({"a": a, "b": (b,)}) for a in lists(options) for b in options]
    keys = [space.key(arch) for arch in archs]
    assert len({*keys}) == len(archs)
    assert all(re.fullmatch(r"[A-Za-z0-9_.%+-]+", key) for key in keys)


def test_what_a_canonical_form_puts_beside_the_options_is_set_apart() -> None:
    space = Listed(3, 5)
    a, b = (Architecture.of({"a": v, "b": (3,)}) for v in ((3, 11, 5), (3, 1, 1, 5)))
    assert (space.key(a), space.key(b)) == ("a3+11+5-b3", "a3115-b3")


def test_keys_read_well_and_those_of_shipped_spaces_stay() -> None:
    arch = Architecture.of({"a": (16, 32, 8), "b": (16,)})
    assert Listed(8, 16, 32).key(arch) == "a+16+32+8-b16"
    arch = MobileNet().decode(PUBLISHED["collm_ofa_t"].written)
    digits = "-".join(f"{name[0]}{''.join(map(str, values))}" for name, values in arch.genes)
    assert MobileNet().key(arch) == digits
