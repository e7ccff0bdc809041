"""What ships is the best that there is, and is named with its accuracy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from collm_nas.cli.evaluate import candidates, command
from collm_nas.cli.evaluate.candidates import choose
from collm_nas.cli.evaluate.target import find_target
from collm_nas.config.run import UserError
from collm_nas.report.evaluations import keep
from collm_nas.spaces.checkpoint import save_supernet
from collm_nas.spaces.stand_alone import Alone, OneNetwork
from tests.evaluation.conftest import asked

ARCH = "arch=[0,1,2,3,0,1]"
ACCURACIES = {"inherited": 25.0, "retrain, seed 0": 20.0, "finetune, seed 0": 32.5}


@pytest.fixture
def trained(supernet, tmp_path, monkeypatch) -> Path:
    """Return a directory with files of trained weights; their accuracies are set by hand."""
    import torch

    target = find_target(asked(supernet, tmp_path, ARCH))
    one = OneNetwork(target.space, target.arch)
    for mode in ("retrain", "finetune"):
        torch.manual_seed(len(mode))
        path = tmp_path / f"{mode}.safetensors"
        save_supernet(path, Alone(one), one, {"pixels": "bgr_0_255"})
        wire = target.space.encode(target.arch)
        keep(tmp_path, {"mode": mode, "architecture": wire, "seeds": [0], "weights": [str(path)]})
    found = candidates.candidates

    def known(cfg, target):
        return [replace(c, accuracy=ACCURACIES[c.label]) for c in found(cfg, target)]

    monkeypatch.setattr(candidates, "candidates", known)
    return tmp_path


def test_the_most_accurate_weights_ship_by_themselves(supernet, trained, capsys):
    command.run(asked(supernet, trained, ARCH, "mode=export"))
    told = capsys.readouterr().out
    assert "finetune, seed 0   32.50 [" in told
    assert "<- ships" in next(line for line in told.splitlines() if "32.50" in line)
    assert "inherited          25.00 [" in told
    assert "shipped with finetune, seed 0 weights: test " in told
    assert "CAUTION" not in told
    info = json.loads((trained / "export" / "subnet.json").read_text())
    assert info["weights"] == "finetune, seed 0"
    assert info["supernet"].endswith("finetune.safetensors")


def test_worse_weights_ship_only_on_request_and_with_a_caution(supernet, trained, capsys):
    cfg = asked(supernet, trained, ARCH, "mode=export", "weights=inherited")
    chosen = choose(cfg, find_target(cfg))
    told = capsys.readouterr().out
    assert chosen.label == "inherited"
    assert "CAUTION: finetune, seed 0 is more accurate" in told
    assert "weights=finetune ships that" in told


def test_weights_that_are_gone_are_named(supernet, trained, capsys):
    (trained / "finetune.safetensors").unlink()
    cfg = asked(supernet, trained, ARCH, "mode=export")
    assert choose(cfg, find_target(cfg)).label == "inherited"
    assert "finetune.safetensors is gone" in capsys.readouterr().out
    gone = asked(supernet, trained, ARCH, "mode=export", "weights=finetune")
    with pytest.raises(UserError, match="weights=finetune"):
        choose(gone, find_target(gone))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["run=runs/a"], "next: python evaluate.py run=runs/a mode=export"),
        (["run=runs/a", "mode=finetune", "seeds=[0,1]"], "evaluate.py run=runs/a mode=export"),
        (
            ["mode=supernet_report", "searchspace=shufflenet_tiny", "supernet=a b", "recipe=x"],
            "next: python search.py searchspace=shufflenet_tiny 'supernet=a b'",
        ),
    ],
)
def test_the_next_command_keeps_what_was_typed(typed, expected, supernet, tmp_path):
    mode = [o for o in typed if o.startswith("mode=")] or ["mode=inherit"]
    assert expected in command.next_step(asked(supernet, tmp_path, ARCH, *mode), typed)
