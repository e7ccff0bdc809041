"""What a language model is told of each space, by its own names and by letters."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from collm_nas.core.architecture import InvalidArchitecture
from collm_nas.prompting.dialect import Dialect, dialect_of
from collm_nas.prompting.settings import Prompting
from collm_nas.prompting.texts import description
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.shufflenet.space import ShuffleNet
from tests.conftest import problems_of
from tests.strategy.toy import Staircase


def told(dialect: Dialect) -> str:
    """Return all that tells something away: text, schema and task."""
    return description(dialect) + json.dumps(dialect.schema()) + dialect.task


def test_a_mobilenet_is_told_with_choices_format_structure_and_trade_offs() -> None:
    text = description(dialect_of(MobileNet()))
    for phrase in (
        "`ks` (20 values, each one of 3, 5, 7)",
        '{"r": [1], "d": [5], "ks": [20], "e": [20]}',
        "stage 3, 12-15: 96 to 136 channels, stride 1 in its first block, h-swish, with squeeze",
        "`d` = [2, 3, 4, 2, 3] these are 0-1, 4-6, 8-11, 12-13, 16-18",
        "macs from 100.3M to 843.1M",
    ):
        assert phrase in text


def test_letters_hide_what_a_mobilenet_is() -> None:
    dialect = dialect_of(MobileNet(), "opaque", 1)
    for cue in ("resolution", "kernel", "depth", "expan", "stage", "stride", "MobileNet", "once"):
        assert cue.lower() not in told(dialect).lower()
    assert {*dialect.encode(dialect.space.sample(random.Random(0)))} == {"x1", "x2", "x3", "x4"}


def test_the_order_of_the_options_follows_the_seed() -> None:
    space = MobileNet()
    texts = {description(dialect_of(space, order_seed=seed)) for seed in range(4)}
    assert len(texts) == 4
    again = dialect_of(space).reordered(1)
    assert description(dialect_of(space, order_seed=1)) == description(again)


def test_a_shufflenet_is_told_with_units_strides_and_the_order_of_costs() -> None:
    text = description(dialect_of(ShuffleNet()))
    for fact in (
        "7x7 depthwise",
        "blocks 0, 4, 8, 16",
        "cheapest in blocks 0, 4, 8, 16",
        "most expensive in blocks 1-3, 5-7, 9-15, 17-19",
        "| 5-7 | 10.6 | 11.6 | 13.1 | 16.7 | 0, 1, 2, 3 |",
        "from 270.4M to 398.6M",
    ):
        assert fact in text


def test_letters_hide_the_units_and_differ_by_seed() -> None:
    space = ShuffleNet()
    one, other = dialect_of(space, "opaque", 1), dialect_of(space, "opaque", 2)
    for cue in ("shuffle", "xception", "depthwise", "kernel", "ops", "spos", "3x3"):
        assert cue not in description(one).lower()
    arch = one.decode({"x1": [*"ABCD"] * 5})
    assert one.encode(arch) == {"x1": [*"ABCD"] * 5}
    assert one.decode([*"ABCD"] * 5) == arch, "a bare list is enough"
    assert other.encode(arch) != one.encode(arch)


def test_letters_hide_what_a_transformer_is() -> None:
    dialect = dialect_of(AutoFormer("small"), "opaque", 1)
    words = r"depth|embed|mlp|head|ratio|layer|attention|transformer|patch|384|448|3\.5|million"
    assert re.findall(words, description(dialect) + json.dumps(dialect.schema()), re.I) == []
    answer = dialect.encode(dialect.space.sample(random.Random(0)))
    answer["x3"] = answer["x3"][:-1]
    with pytest.raises(InvalidArchitecture) as error:
        dialect.decode(answer)
    (found,) = error.value.problems
    assert found.startswith(f"x3 must be a list of {len(answer['x4'])} values, because x1 is")


def test_the_price_of_a_layer_is_told_about_right() -> None:
    space = AutoFormer("small")
    text = description(dialect_of(space))
    assert "embed_dim * (256 * num_heads + 2 * mlp_ratio * embed_dim) + 7680" in text
    assert "`1964 * embed_dim`" in text
    rng = random.Random(0)
    for arch in (space.sample(rng) for _ in range(20)):
        embed: Any = arch["embed_dim"][0]
        layers: Any = zip(arch["num_heads"], arch["mlp_ratio"], strict=True)
        price = sum(embed * (256 * h + 2 * r * embed) + 7680 for h, r in layers) + 1964 * embed
        assert price == pytest.approx(space.costs(arch)["params"], rel=0.01)


def test_a_space_without_a_text_is_told_by_its_variables() -> None:
    text = description(dialect_of(Staircase(3)))
    assert "`depth` (a list of 1, each value one of 1, 2, 3)" in text
    assert "`width` (a list of 3, each value one of 8, 16, 32)" in text


def test_short_names_are_the_official_ones_where_there_are_none() -> None:
    space = ShuffleNet()
    assert told(dialect_of(space, "short")) == told(dialect_of(space, "official"))


def test_other_names_are_refused() -> None:
    assert "names must be 'official', 'short' or 'opaque'" in problems_of(Prompting, names="latin")
    with pytest.raises(ValueError, match=r"prompting\.names must be .*got 'latin'"):
        dialect_of(ShuffleNet(), "latin")  # type: ignore[arg-type]
