"""A table of blocks: every block is covered, sums are sums, and it is measured like a network."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from collm_nas.config.run import build
from collm_nas.hardware import build_table
from collm_nas.hardware.latency_table import LatencyTable, covering
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from tests.conftest import CONF, load


def space_of(name: str) -> SearchSpace:
    space: SearchSpace = build(load("search", f"searchspace={name}").searchspace)
    return space


def written(space: SearchSpace, path: Path) -> str:
    """Write a table in which every block takes 1 ms, and the rest of a network 0.5."""
    names = {name for arch in covering(space) for name in space.block_names(arch)}
    sides = {str(space.resolution(arch)): 0.5 for arch in covering(space)}
    content = {"space": space.identity, "fixed": sides, "blocks": dict.fromkeys(names, 1.0)}
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", ["shufflenet", "mobilenet", "mobilenet_tiny"])
def test_few_networks_have_every_block(name: str, tmp_path: Path) -> None:
    space, rng = space_of(name), random.Random(0)
    model = LatencyTable(space, written(space, tmp_path / "table.json"))
    for _ in range(200):
        arch = space.sample(rng)
        expected = 0.5 + len(space.block_names(arch))
        assert model.costs(arch) == {**space.costs(arch), "latency_ms": expected}


def test_a_table_of_another_space_is_refused(tmp_path: Path) -> None:
    table = written(space_of("shufflenet_tiny"), tmp_path / "table.json")
    with pytest.raises(ValueError, match=r"was built for shufflenet-2.*, not for shufflenet-4"):
        LatencyTable(space_of("shufflenet"), table)
    tiny = space_of("shufflenet_tiny")
    assert isinstance(tiny, ShuffleNet)
    wider = ShuffleNet(repeats=tiny.repeats, channels=[2 * c for c in tiny.channels])
    assert {*wider.block_names(next(covering(wider)))} <= {
        *json.loads(Path(table).read_text())["blocks"]
    }
    with pytest.raises(ValueError, match="the same block takes another time there"):
        LatencyTable(wider, table)


def test_a_table_of_other_images_is_refused(tmp_path: Path) -> None:
    tiny = space_of("shufflenet_tiny")
    assert isinstance(tiny, ShuffleNet)
    table = written(tiny, tmp_path / "table.json")
    larger = ShuffleNet(
        repeats=tiny.repeats, channels=tiny.channels, num_classes=tiny.num_classes, resolution=96
    )
    with pytest.raises(ValueError, match=r"lacks 1 blocks of .*, such as 96"):
        LatencyTable(larger, table)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{}")
    for name in ("text.json", "nowhere.json"):
        with pytest.raises(ValueError, match=rf"hardware\.table: .*{name} is no table of blocks"):
            LatencyTable(space_of("shufflenet_tiny"), str(tmp_path / name))
    with pytest.raises(ValueError, match="nasbench201 has no table of blocks"):
        [*covering(NASBench201())]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shufflenet_tiny", "mobilenet_tiny"])
def test_a_table_is_built_and_read(name: str, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "table.json"
    command = ["build_table", str(path), "--space", str(CONF / f"searchspace/{name}.yaml")]
    monkeypatch.setattr(sys, "argv", [*command, "--repeats", "2", "--networks", "3"])
    build_table.main()
    content = json.loads(path.read_text())
    assert {"machine", "cores", "batch", "space", "fixed", "blocks", "errors"} <= {*content}
    assert {*content["errors"]} == {"mape_percent", "spearman", "networks"}
    space = space_of(name)
    assert LatencyTable(space, str(path)).latency_ms(space.sample(random.Random(1))) > 0
