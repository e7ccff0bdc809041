"""Note10 latencies from the original's tables, against the latency that a published net names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from collm_nas.spaces.mobilenet.ofa_lookup import OFALookup
from collm_nas.spaces.mobilenet.published import PUBLISHED
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import SHARED

TABLES = SHARED / "data/ofa_mbv3/official/note10"
needs_tables = pytest.mark.skipif(not TABLES.exists(), reason=f"no {TABLES}: set COLLM_SHARED")


@needs_tables
def test_a_published_net_takes_what_its_name_says() -> None:
    """The only specialised net of width 1.2 at a resolution that a table has."""
    net = PUBLISHED["ofa_note10_lat-30ms"]
    space = MobileNet()
    assert OFALookup(space, str(TABLES)).latency_ms(space.decode(net.written)) == pytest.approx(
        30, abs=1.0
    )


@needs_tables
def test_every_choice_has_its_layer_and_more_is_slower() -> None:
    space, rng = MobileNet(), random.Random(0)
    model = OFALookup(space, str(TABLES))
    for _ in range(20):
        arch = space.sample(rng)
        larger = space.build({**space.full_genes(arch, rng), "d": [4] * 5, "r": [224]})
        assert {*model.costs(arch)} == {*space.costs(arch), "latency_ms"}
        assert model.latency_ms(larger) >= model.latency_ms(arch) > 0


@needs_tables
def test_another_width_is_refused_with_a_layer_that_is_missing() -> None:
    with pytest.raises(
        ValueError, match=r"160_lookup_table\.yaml lacks .* layers .*searchspace\.w"
    ):
        OFALookup(MobileNet(width=1.0), str(TABLES))


def test_other_spaces_and_missing_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is for searchspace=mobilenet, got nasbench201"):
        OFALookup(NASBench201(), str(tmp_path))
    with pytest.raises(ValueError, match=r"160_lookup_table\.yaml is missing: hardware\.tables"):
        OFALookup(MobileNet(), str(tmp_path))
