import random

import pytest

from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.training.reference_subnets import (
    anchors,
    largest,
    median,
    smallest,
)
from tests.conftest import options
from tests.training.recipes import searchspace


@pytest.mark.parametrize("name", options("searchspace"))
def test_nothing_drawn_is_smaller_than_the_smallest_or_larger_than_the_largest(name):
    space, rng = searchspace(name), random.Random(0)
    low, high = (space.costs(pick(space, {}))["macs"] for pick in (smallest, largest))
    macs = sorted(space.costs(space.sample(rng))["macs"] for _ in range(300))
    assert low <= macs[0] <= macs[-1] <= high
    middle = space.costs(median(space, {}))["macs"]
    assert macs[100] <= middle <= macs[200]


def test_the_ends_are_those_that_are_known():
    spos = ShuffleNet()
    assert spos.costs(smallest(spos, {}))["macs"] == 270_359_360
    assert spos.costs(largest(spos, {}))["macs"] == 398_609_216
    ofa = MobileNet(width=1.0, resolutions=[128, 224])
    assert ofa.costs(smallest(ofa, {}))["macs"] == 41_476_224
    assert ofa.costs(largest(ofa, {}))["macs"] == 566_170_656
    vit = AutoFormer("base")
    assert vit.costs(smallest(vit, {}))["params"] == 39_792_856
    assert vit.costs(largest(vit, {}))["params"] == 76_882_264


@pytest.mark.parametrize("extreme", [min, max])
def test_the_ends_are_exact_in_a_space_that_can_be_listed(extreme):
    space = searchspace("shufflenet_tiny")
    found = (smallest if extreme is min else largest)(space, {})
    assert space.costs(found)["macs"] == extreme(
        space.costs(arch)["macs"] for arch in space.architectures()
    )


def test_the_smallest_cell_still_computes_something():
    assert "none" not in smallest(NASBench201(), {})["op"]


def test_anchors_of_a_phase_are_what_it_trains():
    found = anchors(MobileNet(width=1.0), {"d": [4], "e": [6]})
    assert [*found] == ["smallest", "median", "largest"], "published subnets are not trained yet"
    assert all(arch["d"] == (4,) * 5 and set(arch["e"]) == {6} for arch in found.values())
    assert set(found["smallest"]["ks"]) == {3}
    assert set(found["largest"]["ks"]) == {7}


def test_published_subnets_are_anchors_where_the_space_has_them():
    def published(space):
        return [*anchors(space, {})][3:]

    assert published(ShuffleNet()) == ["spos_readme", "collm_spos"]
    assert published(AutoFormer("small")) == ["autoformer_small", "collm_autoformer_small"]
    assert published(MobileNet()) == [f"collm_ofa_{x}" for x in ("t", "s", "s_star", "b", "l")]
    assert published(MobileNet(width=1.0)) == [], "those are of another width"
    assert published(NASBench201()) == []
    assert published(searchspace("mobilenet_tiny")) == []
    tiny = AutoFormer("tiny", profile="repo")
    assert published(tiny) == ["collm_autoformer_tiny"], "the other has a ratio that this lacks"


def test_anchors_never_change():
    space = MobileNet()
    assert anchors(space, {}) == anchors(MobileNet(), {})
