from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.spaces.mobilenet.published import PUBLISHED
from collm_nas.spaces.mobilenet.space import MobileNet
from tests.conftest import load, problems_of
from tests.ofa_goldens import TINY, golden, largest, smallest, wire

SPACES = {
    "published": MobileNet(),
    "tiny": MobileNet(**TINY),
}
seeds = st.integers(0, 2**32)
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


def sample(space: MobileNet, seed: int) -> Architecture:
    return space.sample(random.Random(seed))


# -- costs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_costs_equal_the_original_code(width: float) -> None:
    suffix = str(width).replace(".", "_")
    for name, row in golden("costs.json")["ofa"].items():
        space = MobileNet(width, resolutions=[row["arch"]["r"]])
        costs = space.costs(space.decode(wire(row["arch"])))
        assert costs["macs"] == row[f"macs_w{suffix}"], name
        assert costs["params"] == row[f"params_w{suffix}"], name


def test_tutorial_flops_equal_the_original_table() -> None:
    for name, row in golden("costs.json")["ofa"].items():
        space = MobileNet(1.2, resolutions=[row["arch"]["r"]])
        costs = space.costs(space.decode(wire(row["arch"])))
        if row["tutorial_lut_M"] is None:
            assert "tutorial_flops" not in costs
        else:
            assert costs["tutorial_flops"] == pytest.approx(1e6 * row["tutorial_lut_M"], abs=0.5), (
                name
            )


def test_costs_of_the_specialised_nets_equal_the_original_code() -> None:
    rows = golden("costs.json")["ofa_specialised"]
    rows = {f"ofa_{name.partition('_top1')[0].lower()}": row for name, row in rows.items()}
    assert {name for name, net in PUBLISHED.items() if net.finetuned} == {*rows}
    for name, row in rows.items():
        net = PUBLISHED[name]
        space = MobileNet(**net.settings)
        arch = space.decode(net.written)
        assert arch == space.canonical(Architecture.of(wire(row["arch"]))), name
        assert space.costs(arch) == {**space.costs(arch), **_exact(row)}, name


def _exact(row: dict[str, int]) -> dict[str, int]:
    return {name: row[name] for name in ("macs", "params")}


@pytest.mark.parametrize(
    ("name", "printed"),
    [("t", 200), ("s", 297), ("s_star", 320), ("b", 391), ("l", 498)],
)
def test_tutorial_flops_are_what_collm_nas_prints(name: str, printed: int) -> None:
    space = MobileNet()
    arch = space.published_within()[f"collm_ofa_{name}"]
    assert round(space.costs(arch)["tutorial_flops"] / 1e6) == printed


def test_a_space_without_the_tutorials_table_has_no_tutorial_flops() -> None:
    for space in (MobileNet(1.0), MobileNet(resolutions=[224, 228]), MobileNet(num_classes=10)):
        assert {*space.costs(smallest(space))} == {"macs", "params"}


def test_random_networks_cost_what_the_original_space_costs() -> None:
    """Percentiles of 20,000 draws from the original's encodings, in millions of multiply-adds."""
    space, rng = MobileNet(), random.Random(0)
    macs = sorted(space.costs(space.sample(rng))["macs"] / 1e6 for _ in range(20_000))
    percentiles = [macs[len(macs) * p // 100] for p in (1, 50, 99)]
    assert percentiles == pytest.approx([169, 309, 525], rel=0.02)


# -- the space ------------------------------------------------------------------------------------


def test_size_counts_every_network_once() -> None:
    assert MobileNet(resolutions=[224]).size() == (9**2 + 9**3 + 9**4) ** 5
    assert MobileNet().size() == 5 * 21_758_655_492_572_485_851


def test_size_of_a_small_space_is_how_many_networks_there_are() -> None:
    space = MobileNet(
        resolutions=[32, 40],
        base_widths=[8, 8, 16, 32, 64],
        choices={"d": [1, 2], "ks": [3, 5], "e": [2, 3]},
    )
    rng = random.Random(0)
    assert len({space.sample(rng) for _ in range(2_000)}) == space.size() == 2 * (4 + 4**2)


def test_key_shows_the_genes_and_zeros_where_none_is_active() -> None:
    space = MobileNet()
    key = space.key(space.decode(PUBLISHED["collm_ofa_s"].written))
    assert key == "r208-d33334-k33305550333055703377-e33303330444044406633"


def test_resolution_is_that_of_the_images() -> None:
    space = MobileNet()
    assert space.resolution(space.decode(PUBLISHED["collm_ofa_t"].written)) == 176


def test_identity_is_what_weights_depend_on_and_nothing_else() -> None:
    assert MobileNet().identity == "mobilenet-w1.2-c1000"
    assert MobileNet(resolutions=[128]).identity == MobileNet().identity
    others = [MobileNet(), MobileNet(1), MobileNet(num_classes=9), MobileNet(**TINY)]
    assert len({space.identity for space in others}) == len(others)


@every_space
@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_encoding_and_decoding_are_inverse(space: MobileNet, seed: int) -> None:
    arch = sample(space, seed)
    assert space.decode(json.loads(json.dumps(space.encode(arch)))) == arch
    assert Architecture.of(json.loads(json.dumps(arch.to_json()))) == arch


@every_space
@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_genes_of_inactive_blocks_are_zero_and_change_nothing(space: MobileNet, seed: int) -> None:
    arch = sample(space, seed)
    assert space.canonical(arch) == arch
    positions = max(space.depths)
    expected = [p < depth for depth in arch["d"] for p in range(positions)]
    for name in ("ks", "e"):
        assert [gene != 0 for gene in arch[name]] == expected
    twin = space.build(space.full_genes(arch, random.Random(seed + 1)))
    assert twin == arch
    assert space.costs(twin) == space.costs(arch)
    assert len(space.active_blocks(arch)) == sum(arch["d"])


@every_space
@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_neighbours_differ_and_are_legal(space: MobileNet, seed: int) -> None:
    arch = sample(space, seed)
    neighbours = space.neighbours(arch)
    assert arch not in neighbours
    assert len({*neighbours}) == len(neighbours)
    for neighbour in neighbours:
        assert space.decode(space.encode(neighbour)) == neighbour


@every_space
@settings(deadline=None, max_examples=30)
@given(seed=seeds, rate=st.floats(0, 1))
def test_mutants_and_children_are_legal(space: MobileNet, seed: int, rate: float) -> None:
    rng = random.Random(seed)
    a, b = space.sample(rng), space.sample(rng)
    for arch in (space.mutate(a, rng, rate), space.crossover(a, b, rng)):
        assert space.decode(space.encode(arch)) == arch
    assert space.mutate(a, rng, 0.0) == a


# -- what a language model writes -----------------------------------------------------------------


def edited(change: Callable[[dict[str, object]], object]) -> dict[str, object]:
    answer = json.loads(json.dumps(PUBLISHED["collm_ofa_t"].written))
    change(answer)
    return answer


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([], "expected a JSON object with the keys ['r', 'd', 'ks', 'e'], got []"),
        (edited(lambda a: a.pop("ks")), "ks is missing"),
        (edited(lambda a: a.update(wid=None)), "'wid' is not a key of this space"),
        (edited(lambda a: a.update(r=176)), "r must be a list of 1 values, got 176"),
        (edited(lambda a: a.update(r=[180])), "r[0] must be one of [160, 176, 192, 208, 224]"),
        (edited(lambda a: a["ks"].pop()), "ks must have 20 values, got 19"),
        (edited(lambda a: a["d"].__setitem__(2, 5)), "d[2] must be one of [2, 3, 4], got 5"),
        (edited(lambda a: a["e"].__setitem__(0, "3")), "e[0] must be one of [3, 4, 6], got '3'"),
        (edited(lambda a: a["e"].__setitem__(0, 3.0)), "e[0] must be one of [3, 4, 6], got 3.0"),
        (edited(lambda a: a["d"].__setitem__(0, True)), "d[0] must be one of [2, 3, 4], got True"),
    ],
)
def test_an_illegal_answer_is_refused_with_place_and_choices(answer: object, problem: str) -> None:
    with pytest.raises(InvalidArchitecture) as error:
        MobileNet().decode(answer)
    assert any(found.startswith(problem) for found in error.value.problems)


def test_all_problems_are_reported_at_once() -> None:
    answer = edited(lambda a: a.update(r=[1], d=[9, 2, 3, 4, 5], ks=[3] * 21))
    with pytest.raises(InvalidArchitecture) as error:
        MobileNet().decode(answer)
    assert [p.split(" ")[0] for p in error.value.problems] == ["r[0]", "d[0]", "d[4]", "ks"]


def test_even_genes_of_inactive_blocks_must_be_legal() -> None:
    answer = edited(lambda a: a["ks"].__setitem__(3, 0))  # depth 2: positions 2 and 3 are unused
    with pytest.raises(InvalidArchitecture, match=r"ks\[3\] must be one of"):
        MobileNet().decode(answer)


# -- configuration --------------------------------------------------------------------------------


def test_wrong_arguments_are_reported_all_at_once() -> None:
    with pytest.raises(ValueError, match="searchspace") as error:
        MobileNet(
            resolutions=[9, 8],
            base_widths=[8],
            choices={"d": [2, 2], "ks": [4], "e": [4, 3]},
        )
    places = ["resolutions", "base_widths", "choices.d", "choices.ks", "choices.e"]
    lines = str(error.value).splitlines()
    assert [line.split()[0] for line in lines] == [f"searchspace.{place}" for place in places]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"width": 0}, "width must be over 0, got 0"),
        ({"width": "1.0"}, "width must be a number, got '1.0'"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 10.0}, "num_classes must be a whole number, got 10.0"),
        ({"base_widths": [0] * 9}, "base_widths[0] must be at least 1, got 0"),
        ({"resolutions": []}, "resolutions must be a list of at least 1, got []"),
        ({"resolutions": [4]}, "resolutions[0] must be at least 8, got 4"),
        ({"choices": {"d": [2], "ks": [3], "e": [12]}}, "choices.e[0] must be at most 9, got 12"),
    ],
)
def test_settings_that_make_no_network(arguments: dict[str, Any], told: str) -> None:
    assert told in problems_of(MobileNet, **arguments)


def test_choices_must_be_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"searchspace.choices must have the keys"):
        MobileNet(choices={"d": [2], "k": [3], "e": [3]})


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("mobilenet", "mobilenet-w1.2-c1000"),
        ("mobilenet_tiny", "mobilenet-w1.0-c10-b8.8.16.24.32.96.128-d123-k35-e234"),
    ],
)
def test_configurations_build_their_space(name: str, identity: str) -> None:
    space = build(load("search", f"searchspace={name}").searchspace)
    assert space.identity == identity


def test_more_of_anything_costs_more() -> None:
    space = MobileNet()
    costs = [space.costs(arch) for arch in (smallest(space), sample(space, 0), largest(space))]
    for less, more in pairwise(costs):
        assert all(less[name] < more[name] for name in less)
