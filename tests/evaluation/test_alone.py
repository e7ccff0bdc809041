"""One network trained on its own: repeatable, resumable, and reported by its last weights."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collm_nas.cli.evaluate import command
from collm_nas.cli.evaluate.alone import train_alone
from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
from collm_nas.cli.evaluate.target import find_target
from collm_nas.config.run import Stopped, UserError
from collm_nas.data.digits import Digits
from collm_nas.data.pixels import pixel_format
from collm_nas.data.view import View
from collm_nas.report.evaluations import read
from collm_nas.spaces.checkpoint import WrongCheckpoint, load_supernet, save_supernet
from collm_nas.spaces.stand_alone import Alone, OneNetwork
from collm_nas.training.validation import Validation
from tests.evaluation.conftest import asked
from tests.evaluator.conftest import space_of

ARCH = "arch=[0,1,2,3,0,1]"
SHORT = ["recipe=digits", "recipe.phases.0.epochs=1", "recipe.pixels=bgr_0_255", "data_workers=0"]


def weights_of(path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_a_network_alone_is_stored_and_refuses_the_weights_of_another(tmp_path):
    space = space_of("shufflenet_tiny")
    one, other = (OneNetwork(space, space.sample(random.Random(i))) for i in range(2))
    save_supernet(tmp_path / "one.safetensors", Alone(one), one)
    restored = load_supernet(tmp_path / "one.safetensors", one)
    images = torch.rand(2, 3, 32, 32)
    restored.eval()
    expected = restored.extract(one.arch)(images)
    torch.testing.assert_close(restored(images, one.arch), expected)
    with pytest.raises(WrongCheckpoint, match="another space"):
        load_supernet(tmp_path / "one.safetensors", other)


@pytest.mark.slow
def test_retraining_tells_mean_and_spread_and_is_not_repeated(supernet, tmp_path, capsys):
    cfg = asked(supernet, tmp_path, ARCH, "mode=retrain", "seeds=[0,1]", *SHORT)
    command.run(cfg)
    (entry,) = read(tmp_path / "evaluation.json")
    first, second = entry["by_seed"]["test_accuracy"]
    assert first != second
    assert entry["metrics"]["test_accuracy"] == pytest.approx((first + second) / 2)
    assert "± is the standard deviation over trainings" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("supernet.safetensors")}
    command.run(cfg)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert read(tmp_path / "evaluation.json") == [entry]


@pytest.mark.long
@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(supernet, tmp_path, monkeypatch):
    settings = [ARCH, *SHORT, "pace.checkpoint_every_steps=4"]
    cfg = asked(supernet, tmp_path, *settings)
    target = find_target(cfg)
    whole = train_alone(cfg, target.space, target.arch, tmp_path / "whole", 0)
    seen = Validation.on_train_batch_end

    def stop_once(self: Any, *args: Any) -> None:
        seen(self, *args)
        if args[2]["step"] == 8:
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "on_train_batch_end", stop_once)
        with pytest.raises(Stopped, match="same command continues"):
            train_alone(cfg, target.space, target.arch, tmp_path / "part", 0)
    resumed = train_alone(cfg, target.space, target.arch, tmp_path / "part", 0)
    one, other = (weights_of(b.measurement.weights.path) for b in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long
@pytest.mark.slow
def test_finetuning_begins_with_inherited_weights_and_ships(supernet, tmp_path):
    settings = [ARCH, *SHORT, "recipe.phases.0.epochs=0.07"]  # one step
    tiny = [*settings, "recipe.phases.0.lr=1e-9", "recipe.phases.0.warmup_epochs=0"]
    command.run(asked(supernet, tmp_path, "mode=finetune", "distill=true", *tiny))
    (entry,) = read(tmp_path / "evaluation.json")
    cfg = asked(supernet, tmp_path, ARCH)
    target = find_target(cfg)
    inherited = build_subnet_evaluator(cfg, target.space).supernet.extract(target.arch).state_dict()
    found = weights_of(entry["weights"][0])
    name = "first_conv.0.weight"
    torch.testing.assert_close(found[f"network.{name}"], inherited[name])

    command.run(asked(supernet, tmp_path, ARCH, "mode=export", "weights=finetune"))
    exported = read(tmp_path / "evaluation.json")[-1]
    assert exported["metrics"] == entry["metrics"]


@pytest.mark.slow
def test_one_network_is_measured_with_the_statistics_that_its_source_leaves(supernet, tmp_path):
    """`norms: own`: nothing is calibrated, while training, afterwards and in what ships."""
    phase = "_target_: collm_nas.training.recipe.Phase, name: %s, steps: %d, lr: 0.05"
    ends = phase % ("train", 20), phase % ("statistics", 10) + ", statistics_only: true"
    phases = f"recipe.phases=[{{{ends[0]}}}, {{{ends[1]}}}]"
    recipe = ["recipe=digits", "recipe.pixels=bgr_0_255", "+recipe.norms=own", "data_workers=0"]
    command.run(asked(supernet, tmp_path, ARCH, "mode=retrain", *recipe, phases, "train_on=train"))
    (entry,) = read(tmp_path / "evaluation.json")
    assert entry["trained_on"] == "train"
    assert entry["protocol"] == "clean,bn=none"
    assert not any("val" in name for name in entry["metrics"]), "search_val was trained on"
    cfg = asked(supernet, tmp_path, ARCH)
    one = OneNetwork(space_of("shufflenet_tiny"), find_target(cfg).arch)
    stored = load_supernet(Path(entry["weights"][0]), one).eval()
    split = Digits().split("test")
    images = np.stack([View(32, 1.0).apply(split.read(i), i) for i in range(len(split))])
    x_NCHW = pixel_format("bgr_0_255").apply(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        right = stored(x_NCHW, one.arch).argmax(1) == torch.tensor(split.labels)
    assert entry["metrics"]["test_accuracy"] == pytest.approx(100 * right.double().mean().item())
    command.run(asked(supernet, tmp_path, ARCH, "mode=export", "weights=retrain"))
    assert read(tmp_path / "evaluation.json")[-1]["protocol"].startswith("clean,bn=none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["recipe=digits", "mode=supernet_report", "stand_alone=train", "train_on=train"],
            "search_val",
        ),
        (["recipe=ofa_tiny", "mode=retrain"], "trains a supernet"),
        (["recipe=digits", "mode=finetune"], "set recipe.pixels=bgr_0_255"),
        (["mode=export", "weights=retrain"], "tells of no such training"),
        (["mode=supernet_report", "stand_alone=yes"], "stand_alone must be train"),
    ],
)
def test_what_cannot_be_trained_or_shipped_is_refused(settings, message, supernet, tmp_path):
    with pytest.raises(UserError, match=message):
        command.run(asked(supernet, tmp_path, ARCH, *settings))


def test_other_settings_do_not_continue_a_training(supernet, tmp_path):
    cfg = asked(supernet, tmp_path, ARCH, *SHORT)
    target = find_target(cfg)
    (tmp_path / "config.yaml").write_text("searchspace: {_target_: x}\nseed: 7\nstart: random\n")
    (tmp_path / "phases" / "all").mkdir(parents=True)
    (tmp_path / "phases" / "all" / "last.ckpt").write_text("of that training")
    with pytest.raises(UserError, match="was started with other settings"):
        train_alone(cfg, target.space, target.arch, tmp_path, 0)
