"""What evaluate.py says of an architecture, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collm_nas.cli import session
from collm_nas.cli.evaluate import command
from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
from collm_nas.cli.evaluate.target import find_target
from collm_nas.config.run import UserError
from collm_nas.report.evaluations import keep, read
from collm_nas.spaces.published import all_published
from tests.conftest import load, search_config
from tests.evaluation.conftest import NAMES, asked
from tests.evaluator.conftest import space_of

OPS = [0, 1, 2, 3, 0, 1]
ARCH = f"arch={OPS}".replace(" ", "")


def entries(directory: Path) -> list[dict[str, Any]]:
    return read(directory / "evaluation.json")


def test_inherited_accuracy_is_told_with_its_meaning_and_controls(supernet, tmp_path, capsys):
    command.run(asked(supernet, tmp_path, ARCH))
    (entry,) = entries(tmp_path)
    assert entry["architecture"] == {"ops": OPS}
    assert {*entry["metrics"]} == {"test_accuracy", "test_top5", "val_accuracy", "val_top5"}
    assert [control["label"] for control in entry["controls"]] == ["smallest", "largest"]
    smallest, largest = (control["costs"]["macs"] for control in entry["controls"])
    assert smallest < entry["costs"]["macs"] < largest
    told = capsys.readouterr().out
    assert "all 497 images, which no search has seen" in told
    assert entry["protocol"] in told
    assert "100 images of train_fit" in told
    assert "WARNING: NEAR CHANCE: the best of the reference subnets" in told, "weights are random"
    assert entry["images"] == {"test_accuracy": 497, "val_accuracy": 300}
    assert "95% intervals (Wilson)" in told
    assert f"{entry['metrics']['test_accuracy']:.2f} [" in told
    assert "cannot be told apart by 497 test images: " in told, "its weights are random"


def test_fewer_calibration_images_than_asked_for_are_told(supernet, tmp_path, capsys):
    few = "evaluator.changes.bn_images=5000"
    command.run(asked(supernet, tmp_path, ARCH, "controls=false", few))
    assert "1,000 images of train_fit (5,000 asked for)" in capsys.readouterr().out


def test_a_search_says_how_sure_its_choice_is_and_what_was_really_done(
    supernet, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    space = ["searchspace=shufflenet_tiny", f"supernet={supernet}", "budget.evaluations=3"]
    many = ["evaluator.device=cpu", "evaluator.changes.bn_images=5000", "report=full"]
    cfg = search_config(*space, *many, "evaluator.changes.images=50", strategy="random")
    result = session.run(cfg, tmp_path / "run")
    told = capsys.readouterr().out
    done = "50 images of search_val; batch norms: exact over 1,000 images of train_fit"
    view = "(random views, as in training)"
    assert result["measured"] == f"{done} (5,000 asked for) {view}"
    assert result["protocol"].startswith("clean,images=50,bn_images=1000:")
    assert result["certainty"]["images"] == 50
    low, high = result["certainty"]["interval"]
    assert low < result["best"]["metrics"]["val_accuracy"] < high
    assert f"{low:.1f} to {high:.1f}% (50 images)" in told
    assert "cannot be told apart by 50 images" in told


def test_seeds_draw_other_calibration_images(supernet, tmp_path):
    command.run(asked(supernet, tmp_path, ARCH, "seeds=[0,1,2]", "controls=false"))
    (entry,) = entries(tmp_path)
    assert {*entry["spread"]} == {*entry["metrics"]}
    assert entry["spread"]["test_top5"] > 0


def test_a_protocol_that_ranks_by_test_is_marked(supernet, tmp_path, capsys):
    command.run(asked(supernet, tmp_path, ARCH, "controls=false", "evaluator.protocol=collm"))
    told = capsys.readouterr().out
    assert "CAUTION" in told
    assert "no search has seen" not in told


def test_the_best_of_a_run_has_the_accuracy_that_the_search_saw(supernet, run, capsys):
    cfg = asked(supernet, run, f"run={run}", "evaluator.changes.images=50")
    target = find_target(cfg)
    evaluator = build_subnet_evaluator(cfg, target.space)
    assert target.run is not None
    best = target.run.ranking()[0]
    found = evaluator.accuracy(target.arch, "search_val")
    assert found["val_accuracy"] == best.metrics["val_accuracy"]


def test_a_run_of_a_supernet_is_evaluated_with_inherited_weights_by_itself(supernet, run):
    command.run(asked(supernet, run, f"run={run}", "rank=2", "controls=false"))
    (entry,) = entries(run)
    assert (entry["mode"], entry["label"]) == ("inherit", "rank 2")


def test_a_published_name_is_looked_up_in_its_space():
    cfg = load("evaluate", "searchspace=shufflenet", "arch=spos_readme", *NAMES)
    assert find_target(cfg).arch["ops"][:4] == (2, 1, 0, 1)
    note10 = "searchspace.resolutions=[176]", "searchspace.width=1.0", "arch=ofa_note10_lat-11ms"
    cfg = load("evaluate", "searchspace=mobilenet", *note10, *NAMES)
    assert find_target(cfg).arch["r"] == (176,)


@pytest.mark.parametrize("name", all_published())
def test_every_published_name_is_at_home_where_it_says(name):
    settings = all_published()[name].words.split()
    cfg = load("evaluate", *settings, f"arch={name}", *NAMES)
    assert find_target(cfg).label == name


def test_the_nine_of_the_paper_have_names():
    assert sum(name.startswith("collm_") for name in all_published()) == 9
    assert not space_of("shufflenet_tiny").published_within(), "they need the space in full"


@pytest.mark.parametrize(
    "arch",
    [ARCH, f"arch={{ops: {OPS}}}", f"arch='{json.dumps({'ops': OPS})}'", f"arch='{OPS}'"],
    ids=["list", "mapping", "JSON", "JSON list"],
)
def test_an_architecture_can_be_written_by_hand(arch, supernet, tmp_path):
    assert find_target(asked(supernet, tmp_path, arch)).arch["ops"] == tuple(OPS)


def test_a_cell_is_written_as_the_benchmark_does():
    cell = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    cfg = load("evaluate", "searchspace=nasbench201", f'arch="{cell}"', *NAMES)
    assert find_target(cfg).arch["op"][3] == "nor_conv_3x3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["arch=spos_redme"], "did you mean spos_readme"),
        (["arch=spos_readme"], "add\n  searchspace=shufflenet"),
        (["arch=[0,1,7,x]"], r"must have 6 values, got 4\n.*ops\[2\](.|\n)*ops\[3\]"),
        ([], "run=…(.|\n)*arch=…"),
        (["mode=train", ARCH], "mode must be one of table, inherit"),
        (["mode=table", ARCH], "run=…"),
        (["seeds=[]", ARCH], "seeds must be a list"),
        (["seeds=[1,1]", ARCH], "named twice"),
        (["supernet=/nowhere", ARCH], "/nowhere does not exist"),
        (["run=/nowhere"], "/nowhere is no run"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(settings, message, supernet, tmp_path):
    with pytest.raises(UserError, match=message):
        command.run(asked(supernet, tmp_path, *settings))
    assert not entries(tmp_path)


def test_only_a_supernet_has_weights_to_inherit(tmp_path):
    space = ["searchspace=nasbench201", "evaluator=tabular", "arch=[0]"]
    with pytest.raises(UserError, match="arch="):
        command.run(load("evaluate", *space, f"out={tmp_path}", *NAMES))
    cell = 'arch="|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"'
    with pytest.raises(UserError, match="choose evaluator=supernet"):
        command.run(load("evaluate", *space[:2], cell, f"out={tmp_path}", *NAMES))


def test_entries_are_replaced_only_by_their_like(tmp_path):
    first = {"mode": "inherit", "architecture": [1], "seeds": [0], "metrics": 1}
    for entry in (first, {**first, "mode": "export"}, {**first, "metrics": 2}):
        keep(tmp_path, entry)
    assert [(e["mode"], e["metrics"]) for e in entries(tmp_path)] == [("export", 1), ("inherit", 2)]
    (tmp_path / "evaluation.json").write_text("{half")
    with pytest.raises(UserError, match=r"evaluation.json, line 1 is damaged: it is no JSON"):
        keep(tmp_path, first)
