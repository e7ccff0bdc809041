"""AutoFormer's space against the published networks: costs, counts, decoding, exact sampling."""

from __future__ import annotations

import copy
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.spaces.autoformer.published import PUBLISHED
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.testing.conformance import SearchSpaceConformance
from collm_nas.testing.schema import matches
from tests.conftest import problems_of

SIZES = {"T": "tiny", "S": "small", "B": "base"}
SOURCES = {"yaml": "autoformer", "collm": "collm_autoformer"}
OWN = {"depth": [1, 2], "embed_dim": [8, 12], "mlp_ratio": [1, 2.5], "num_heads": [1, 12]}
MILLION = 1e6


@pytest.fixture(scope="module")
def costs(golden: Path) -> Any:
    return json.loads((golden / "costs.json").read_text())["autoformer"]


def own(**changes: Any) -> AutoFormer:
    """Build a space small enough to be counted one by one: 40 networks."""
    return AutoFormer({**OWN, **changes}, resolution=8, patch_size=4, num_classes=3)


def architecture(reference: Any) -> Architecture:
    genes = {"mlp_ratio": reference["mlp"], "num_heads": reference["heads"]}
    return Architecture.of(
        {"depth": [reference["depth"]], "embed_dim": [reference["embed"]], **genes}
    )


def wire(**changes: Any) -> dict[str, Any]:
    """Write the published tiny network, with changes."""
    return {**copy.deepcopy(PUBLISHED["autoformer_tiny"].written), **changes}


def problems(space: AutoFormer, answer: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidArchitecture) as error:
        space.decode(answer)
    return error.value.problems


class TestBase(SearchSpaceConformance):
    space = AutoFormer("base")


class TestRepo(SearchSpaceConformance):
    space = AutoFormer("tiny", "repo")


class TestOwn(SearchSpaceConformance):
    space = own()


# -- what the published networks cost -----------------------------------------------------------


def test_costs_are_those_of_the_original(costs: Any) -> None:
    assert len(costs) == 9
    for name, known in costs.items():
        found = AutoFormer(SIZES[name[0]]).costs(architecture(known["arch"]))
        assert (found["params"], found["macs"]) == (known["params"], known["macs_true"])
        assert found["repo_flops"] == pytest.approx(known["flops_repo"], abs=1e-6)


def test_published_architectures_are_the_reference_ones(costs: Any) -> None:
    for name, known in costs.items():
        letter, _, source = name.partition("_")
        if source in SOURCES:
            size = SIZES[letter]
            written = PUBLISHED[f"{SOURCES[source]}_{size}"].written
            assert AutoFormer(size).decode(written) == architecture(known["arch"])


def test_the_whole_supernet_is_the_reference_one(costs: Any) -> None:
    for letter, size in SIZES.items():
        assert AutoFormer(size).full == architecture(costs[f"{letter}_super"]["arch"])


@pytest.mark.parametrize(
    ("size", "profile", "smallest", "largest", "networks"),
    [
        ("tiny", "repo", 5_366_056, 10_517_272, 1_056_964_608),
        ("tiny", "paper", 4_922_536, 10_517_272, 280_804_921_344),
        ("small", "repo", 13_057_320, 34_790_440, 77_103_263_459_313),
        ("small", "paper", 13_057_320, 34_790_440, 77_103_263_459_313),
        ("base", "repo", 41_687_896, 76_882_264, 10_108_977_168_384),
        ("base", "paper", 39_792_856, 76_882_264, 6_245_364_340_204_353),
    ],
)
def test_extent_of_the_space(
    size: str, profile: Any, smallest: int, largest: int, networks: int
) -> None:
    space = AutoFormer(size, profile)
    assert space.size() == networks
    for pick, params in ((min, smallest), (max, largest)):
        arch = space.build({v.name: [pick(v.options)] * v.count for v in space.variables})
        assert space.costs(arch)["params"] == params


@pytest.mark.parametrize(
    ("size", "profile", "quantiles", "limit", "share"),
    [
        ("tiny", "repo", (5.74, 7.63, 9.91), 6, 0.097),
        ("tiny", "paper", (5.46, 7.30, 9.57), 6, 0.137),
        ("small", "paper", (14.8, 22.0, 31.4), 23, 0.56),
        ("base", "repo", (45.3, 57.3, 71.2), 54, 0.39),
        ("base", "paper", (44.3, 56.1, 70.0), 54, 0.44),
    ],
)
def test_samples_are_distributed_as_in_the_original(
    size: str, profile: Any, quantiles: tuple[float, ...], limit: float, share: float
) -> None:
    space, rng = AutoFormer(size, profile), random.Random(0)
    params = sorted(space.costs(space.sample(rng))["params"] / MILLION for _ in range(10_000))
    for quantile, known in zip((100, 5_000, 9_900), quantiles, strict=True):
        assert params[quantile] == pytest.approx(known, rel=0.02)
    assert sum(p <= limit for p in params) / len(params) == pytest.approx(share, abs=0.015)


# -- what a language model writes ---------------------------------------------------------------


def test_wire_format() -> None:
    space = AutoFormer()
    arch = space.decode(wire())
    assert arch["depth"] == (13,)
    assert len(arch["mlp_ratio"]) == len(arch["num_heads"]) == 13
    assert space.encode(arch) == wire()
    assert space.key(arch) == "d13-e192-m7767668878787-h3333333333433"


def test_ten_heads_have_a_letter_in_the_key() -> None:
    space = AutoFormer("base")
    arch = space.decode(PUBLISHED["autoformer_base"].written)
    assert space.key(arch) == "d14-e576-m77878776886867-h99999a99a9a99a"


def test_a_ratio_written_as_an_integer_is_the_same_number() -> None:
    short = [int(r) if r == int(r) else r for r in wire()["mlp_ratio"]]
    assert any(isinstance(ratio, int) for ratio in short)
    arch = AutoFormer().decode(wire(mlp_ratio=short))
    assert arch == AutoFormer().decode(wire())
    assert all(isinstance(ratio, float) for ratio in arch["mlp_ratio"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"depth": 11}, "depth must be one of [12, 13, 14], got 11"),
        ({"depth": "13"}, "depth must be one of [12, 13, 14], got '13'"),
        ({"depth": 13.0}, "depth must be one of [12, 13, 14], got 13.0"),
        ({"depth": [13]}, "depth must be one of [12, 13, 14], got [13]"),
        ({"embed_dim": True}, "embed_dim must be one of [192, 216, 240], got True"),
        ({"embed_dim": 256}, "embed_dim must be one of [192, 216, 240], got 256"),
        (
            {"mlp_ratio": [4.0] * 12},
            "mlp_ratio must be a list of 13 values, because depth is 13; got 12 values",
        ),
        (
            {"depth": 14, "mlp_ratio": [4.0] * 14},
            "num_heads must be a list of 14 values, because depth is 14; got 13 values",
        ),
        ({"num_heads": 3}, "num_heads must be a list of 13 values, because depth is 13; got 3"),
        ({"num_heads": [3] * 12 + [5]}, "num_heads[12] must be one of [3, 4], got 5"),
        ({"num_heads": [3] * 12 + ["3"]}, "num_heads[12] must be one of [3, 4], got '3'"),
        ({"num_heads": [3] * 12 + [3.0]}, "num_heads[12] must be one of [3, 4], got 3.0"),
        ({"mlp_ratio": ["4.0"] + [4.0] * 12}, "mlp_ratio[0] must be one of [3.0, 3.5, 4.0]"),
        ({"qkv": 1}, "'qkv' is not a key of this space"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], problem: str) -> None:
    (found,) = problems(AutoFormer(), wire(**changes))
    assert found.startswith(problem)


def test_everything_wrong_is_said_at_once() -> None:
    answer = wire(depth=15, num_heads=[3] * 10 + ["4"], mlp_ratio=[3.25, None] + [4.0] * 10, x=0)
    del answer["embed_dim"]
    assert problems(AutoFormer(), answer) == (
        "embed_dim is missing",
        "'x' is not a key of this space",
        "depth must be one of [12, 13, 14], got 15",
        "mlp_ratio[0] must be one of [3.0, 3.5, 4.0], got 3.25",
        "mlp_ratio[1] must be one of [3.0, 3.5, 4.0], got None",
        "num_heads must be a list of 12 or 13 or 14 values, depending on depth; got 11 values",
        "num_heads[10] must be one of [3, 4], got '4'",
    )


def test_a_flood_of_values_does_not_flood_the_message() -> None:
    found = problems(AutoFormer(), wire(num_heads=["x" * 1_000] * 10_000))
    assert sum(map(len, found)) < 2_000


def test_the_repo_profile_lacks_what_was_not_trained() -> None:
    (found, *_) = problems(AutoFormer("tiny", "repo"), wire())
    assert found == "mlp_ratio[2] must be one of [3.5, 4.0], got 3.0"
    assert AutoFormer("base", "repo").choices.num_heads == (9, 10)


def test_schema_ties_the_lengths_to_the_depth() -> None:
    schema = AutoFormer().schema()
    assert matches(schema, wire())
    assert not matches(schema, wire(depth=12))
    assert not matches(schema, wire(num_heads=[3] * 12))
    assert not matches(schema, wire(extra=1, depth=11))


# -- moving about -------------------------------------------------------------------------------


def test_parents_of_different_depth_can_be_crossed() -> None:
    space, rng = AutoFormer(), random.Random(0)
    shallow, deep = (
        space.build({**space.full_genes(space.sample(rng), rng), "depth": [depth]})
        for depth in (12, 14)
    )
    children = [space.crossover(shallow, deep, rng) for _ in range(50)]
    assert {child["depth"] for child in children} == {(12,), (14,)}
    for child in children:
        for mine, one, other in zip(
            child["num_heads"], shallow["num_heads"], deep["num_heads"], strict=False
        ):
            assert mine in (one, other)


def test_depth_cuts_the_lists() -> None:
    space = own()
    genes = {"depth": [1], "embed_dim": [8], "mlp_ratio": [1.0, 2.5], "num_heads": [12, 1]}
    arch = space.build(genes)
    assert arch.to_json() == {**genes, "mlp_ratio": [1.0], "num_heads": [12]}
    assert space.costs(arch) == space.costs(Architecture.of(genes))
    assert len(space.neighbours(arch)) == 4  # one other value of each gene


def test_sampling_within_limits_is_sampling_and_rejecting() -> None:
    space, rng = own(), random.Random(0)
    everything = [*space.architectures()]
    assert len(everything) == space.size() == 40
    costs = sorted(space.costs(arch)["params"] for arch in everything)
    limits = [("params", costs[5], costs[30]), ("macs", None, 60_000.0)]

    def is_within(arch: Architecture) -> bool:
        found = space.costs(arch)
        return costs[5] <= found["params"] <= costs[30] and found["macs"] <= 60_000

    # A shallow network is drawn more often than a deep one, as by `sample`.
    weights = {a: 4.0 ** -len(a["num_heads"]) for a in everything if is_within(a)}
    assert 5 < len(weights) < 30
    drawn = Counter(space.sample_within(rng, limits) for _ in range(4_000))
    assert drawn.keys() == weights.keys()
    scale = 4_000 / sum(weights.values())
    expected = [weights[arch] * scale for arch in weights]
    assert chisquare([drawn[arch] for arch in weights], expected).pvalue > 0.001


def test_a_hair_thin_band_is_hit() -> None:
    space, rng = AutoFormer("base"), random.Random(0)
    target = space.costs(space.decode(PUBLISHED["collm_autoformer_base"].written))["params"]
    arch = space.sample_within(rng, [("params", target, target), ("macs", None, None)])
    assert space.costs(arch)["params"] == target


def test_an_impossible_limit_says_what_is_possible() -> None:
    expected = (
        "no architecture of autoformer has params at most 4,000,000: the smallest has 4,922,536 "
        "and the largest 10,517,272 (exact). Widen the limit (config key: limits.params)"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        AutoFormer().sample_within(random.Random(0), [("params", None, 4e6)])


# -- spaces of one's own ------------------------------------------------------------------------


def test_identity_is_that_of_the_weights() -> None:
    assert AutoFormer().identity == "autoformer-d14-e256-m8-h4-r224-p16-c1000"
    assert AutoFormer("tiny", "repo").identity == AutoFormer().identity
    assert own().identity == "autoformer-d2-e12-m5-h12-r8-p4-c3"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"patch_size": 0}, "patch_size must be at least 1, got 0"),
        ({"resolution": 224.0}, "resolution must be a whole number, got 224.0"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": True}, "num_classes must be a whole number, got True"),
        ({"profile": "yaml"}, "profile must be 'paper' or 'repo', got 'yaml'"),
    ],
)
def test_settings_that_make_no_network(arguments: dict[str, Any], told: str) -> None:
    assert told in problems_of(AutoFormer, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "large"}, "size must be 'tiny' or 'small' or 'base', got 'large'"),
        ({"profile": "yaml"}, "profile must be 'paper' or 'repo', got 'yaml'"),
        ({"patch_size": 15}, "searchspace.resolution must be a multiple of"),
        ({"size": {**OWN, "heads": [1]}}, "searchspace.size.heads is not known; there are depth"),
        ({"size": {"depth": [1]}}, "searchspace.size.embed_dim is missing\nsearchspace.size.mlp"),
        ({"size": {**OWN, "embed_dim": [7]}}, "must be a list of different multiples of 2"),
        ({"size": {**OWN, "embed_dim": [8.0]}}, "must be a list of different multiples of 2"),
        ({"size": {**OWN, "depth": []}}, "size.depth must be a list of at least 1, got []"),
        ({"size": {**OWN, "depth": 3}}, "size.depth must be a list, got 3"),
        ({"size": {**OWN, "depth": [1, 1]}}, "got [1, 1]"),
        ({"size": {**OWN, "depth": [True]}}, "size.depth[0] must be a number, got True"),
        ({"size": {**OWN, "num_heads": [36]}}, "at most 35, got [36]"),
        ({"size": {**OWN, "mlp_ratio": [0]}}, "size.mlp_ratio[0] must be over 0, got 0"),
        ({"size": {**OWN, "mlp_ratio": [2.2]}}, "got [2.2]"),
        ({"size": {**OWN, "mlp_ratio": ["2"]}}, "size.mlp_ratio[0] must be a number, got '2'"),
    ],
)
def test_arguments_that_make_no_network(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AutoFormer(**arguments)
