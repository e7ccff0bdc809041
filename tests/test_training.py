"""A training from its config: what a step does, what a run leaves, how it is refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from collm_nas.cli import training_run as training
from collm_nas.cli.settings import SupernetSettings
from collm_nas.cli.settings import check as check_settings
from collm_nas.config.run import UserError, build
from collm_nas.data.digits import Digits
from collm_nas.report.uncertainty import interval
from collm_nas.spaces.checkpoint import load_supernet, supernet_info
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.checkpoints import Diverged
from collm_nas.training.module import SupernetTraining, Teacher
from collm_nas.training.phases import run_phases
from collm_nas.training.recipe import Phase
from collm_nas.training.sampling import Uniform
from collm_nas.training.seeds import key
from tests.conftest import load, options
from tests.training.recipes import recipe, searchspace

QUICK = [
    "searchspace=shufflenet_tiny",
    "recipe=digits",
    "searchspace.repeats=[1,1]",
    "searchspace.channels=[4,8,16,32]",
    "recipe.batch_size=20",
    "recipe.phases.0.epochs=0.1",
    "recipe.phases.0.warmup_epochs=0",
    "validation.images=20",
    "validation.bn_images=20",
    "data_workers=0",
    *(f"choices.{name}=x" for name in ("searchspace", "recipe", "strategy", "llm")),
]
NAMED = QUICK[-4:]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))


def train(run_dir: Path, *overrides: str) -> dict:
    return training.run(load("train_supernet", *QUICK, *overrides), run_dir)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    train(run)
    return run


def two_phases() -> str:
    sampling = "{_target_: collm_nas.training.sampling.Uniform}"
    phase = f"_target_: collm_nas.training.recipe.Phase, steps: 3, lr: 0.1, sampling: {sampling}"
    return f"recipe.phases=[{{{phase}, name: first}}, {{{phase}, name: second}}]"


def test_a_run_leaves_weights_that_say_where_they_come_from(tmp_path):
    result = train(tmp_path / "run")
    space = searchspace("shufflenet_tiny", *QUICK[2:4])
    weights = tmp_path / "run" / "supernet.safetensors"
    load_supernet(weights, space)
    info = supernet_info(weights)
    assert info["pixels"] == recipe("digits").pixels
    assert json.loads(info["classes"]) == list("0123456789")
    assert set(json.loads(info["data"])) == {"train_fit", "search_val", "test"}
    assert json.loads(info["recipe"])["batch_size"] == 20
    assert int(info["step"]) == result["phases"][0]["anchors"]["step"] == 5


def test_metrics_are_logged(tmp_path):
    train(tmp_path / "run", "pace.log_every_steps=2")
    with (tmp_path / "run" / "phases" / "all" / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = [row for row in rows if row["loss"]]
    assert [int(row["step"]) for row in logged] == [2, 4, 5]
    assert all(float(row["images_per_s"]) > 0 for row in logged)
    assert all(row["subnets_macs"] and row["lr"] for row in logged)
    assert [row["val/mean"] for row in rows if row["val/mean"]]


def test_a_finished_run_is_not_repeated(tmp_path):
    train(tmp_path / "run")
    weights = tmp_path / "run" / "supernet.safetensors"
    before = weights.read_bytes()
    (tmp_path / "run" / "phases" / "all" / "last.ckpt").unlink()
    train(tmp_path / "run")
    assert weights.read_bytes() == before


def test_a_phase_begins_with_the_weights_that_the_one_before_left(tmp_path):
    cfg = training.own_part(load("train_supernet", *QUICK, two_phases()))
    job = training.build_job(cfg, tmp_path)
    network = build_supernet(job.space)
    results = run_phases(job, network)
    assert [r["phase"] for r in results] == ["first", "second"]
    first, second = (load_supernet(job.weights(p), job.space) for p in job.recipe.phases)
    name = "first_conv.0.weight"
    assert not torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert torch.equal(network.state_dict()[name], second.state_dict()[name])


def test_a_few_steps_can_be_tried_and_are_not_taken_for_the_whole(tmp_path):
    few = ["trainer=debug", "trainer.limit_train_batches=2"]
    assert [p["steps"] for p in train(tmp_path / "run", *few)["phases"]] == [2]
    assert supernet_info(tmp_path / "run" / "supernet.safetensors")["space"]
    with pytest.raises(UserError, match="was trained for 2 steps, now it would be 5"):
        train(tmp_path / "run")


def test_losses_of_a_step_are_summed_over_its_subnets():
    """Two equal subnets give twice the gradient of one."""
    grads = []
    images_and_labels = batch()
    for subnets in (1, 2):
        torch.manual_seed(0)
        module = step_module(Uniform(subnets, {"ops": [0]}))
        module.network.eval()  # no dropout
        module._backward(module.subnets(0), *images_and_labels)
        grads.append(next(module.network.parameters()).grad.clone())
    assert torch.allclose(grads[1], 2 * grads[0], rtol=1e-4, atol=1e-6)


def test_a_teacher_in_training_mode_has_no_dropout():
    """As in https://github.com/mit-han-lab/once-for-all, where its dropout rate is zero."""
    module = step_module(Uniform(1))
    arch, (images, _) = module.subnets(0)[0], batch()
    module.recipe = replace(module.recipe, teacher_mode="train")
    module._teacher = (Teacher(module.network, arch),)
    with torch.no_grad():
        module.network.train()
        assert not torch.equal(module.network(images, arch), module.network(images, arch))
        module.on_fit_start()
        assert torch.equal(module.network(images, arch), module.network(images, arch))
        assert module.network.training


def test_a_loss_that_is_no_number_names_step_and_subnet():
    module = step_module(Uniform(1))
    with torch.no_grad():
        next(module.network.parameters()).fill_(float("nan"))
    optimizer = torch.optim.SGD(module.network.parameters(), lr=0.1)
    module.optimizers = lambda: optimizer
    pixels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    with pytest.raises(Diverged, match=r"loss of step 7 is not finite \(\d\d: nan\)"):
        module.training_step((pixels, torch.zeros(2, dtype=torch.long)), 7)


def test_the_last_good_checkpoint_survives_divergence(tmp_path):
    with pytest.raises(UserError, match=r"(?s)not finite.*Lower the phase's lr"):
        train(
            tmp_path / "run",
            "recipe.phases.0.lr=1e30",
            "recipe.clip_norm=null",
            "pace.checkpoint_every_steps=1",
        )
    content = torch.load(tmp_path / "run/phases/all/last.ckpt", weights_only=True)
    assert all(t.isfinite().all() for t in content["module"].values() if t.is_floating_point())


def test_everything_that_does_not_fit_is_refused_before_training(tmp_path):
    with pytest.raises(UserError, match=r"tell 7 classes apart, but the data\s+set has 10"):
        train(tmp_path / "run", "searchspace.num_classes=7")
    with pytest.raises(UserError, match=r"sampling\.choices\.ks"):
        train(tmp_path / "run", "+recipe.phases.0.sampling.choices={ks: [3]}")
    train(tmp_path / "run")  # what did not work left no trace


@pytest.mark.parametrize("space", options("searchspace"))
@pytest.mark.parametrize("trainer", ["cpu", "ddp", "debug"])
def test_the_settings_as_shipped_pass_the_check_of_the_command(space, trainer):
    check_settings(
        load("train_supernet", f"searchspace={space}", f"trainer={trainer}", *NAMED),
        SupernetSettings,
    )


def test_wrong_settings_do_not_pass_the_check_of_the_command():
    wrong = ["pace.log_every_steps=0", "validation.bn_view=side", "train_on=test"]
    with pytest.raises(UserError) as error:
        check_settings(load("train_supernet", *QUICK, *wrong), SupernetSettings)
    told = str(error.value)
    assert all(key.partition("=")[0] in told for key in wrong)


def test_settings_may_not_change_half_way(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(UserError, match=r"recipe\.batch_size: 20 -> 10"):
        train(tmp_path / "run", "recipe.batch_size=10")
    with pytest.raises(UserError, match=r"pace\.validate_every_epochs: 1 -> 2"):
        train(tmp_path / "run", "pace.validate_every_epochs=2")  # it decides which weights are best
    train(tmp_path / "run", "pace.log_every_steps=3")


def test_official_weights_that_cannot_be_had_end_with_a_message(tmp_path):
    with pytest.raises(UserError, match=r"no weights are published for shufflenet"):
        train(tmp_path / "run", "+recipe.phases.0.init_from=official")


def test_offline_wandb_goes_on_under_the_same_id(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = ["logger=wandb"]
    train(tmp_path / "run", *wandb)
    first = (tmp_path / "run" / "wandb_id_all").read_text()
    (tmp_path / "run" / "phases" / "all" / "finished").unlink()
    train(tmp_path / "run", *wandb)
    assert (tmp_path / "run" / "wandb_id_all").read_text() == first
    assert list((tmp_path / "run").rglob(f"*{first}*"))


@pytest.mark.parametrize(
    "space", ["shufflenet", "mobilenet", "autoformer", "nasbench201", "mobilenet_tiny"]
)
def test_every_space_has_a_recipe_that_fits(space):
    from collm_nas.training.fit import check

    cfg = load("train_supernet", f"searchspace={space}")
    check(build(cfg.recipe), searchspace(space))


@pytest.mark.parametrize("trainer", ["cpu", "gpu", "ddp", "ddp_sim", "debug"])
def test_every_trainer_composes(trainer):
    cfg = load("train_supernet", f"trainer={trainer}")
    assert cfg.trainer._target_ == "pytorch_lightning.Trainer"


def test_slurm_composes():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert load("train_supernet", "hydra/launcher=submitit_slurm", "trainer=ddp").trainer.devices


def test_draws_are_functions_of_their_names():
    assert key(1, "image", 5) == key(1, "image", 5) != key(1, "image", 6)
    assert 0 <= key(1) < 2**63


def step_module(sampling: Uniform) -> SupernetTraining:
    space = searchspace("shufflenet_tiny", *QUICK[2:4])
    phase = Phase("all", lr=0.1, steps=10, sampling=sampling)
    module = SupernetTraining(build_supernet(space), space, recipe("digits"), phase, 10, 0, 5)
    module.manual_backward = lambda loss: loss.backward()
    return module


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])


# -- what would mix two trainings is refused ------------------------------------------------------


def test_precision_may_not_change_half_way(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(UserError, match=r"trainer\.precision: 32-true -> bf16-mixed"):
        train(tmp_path / "run", "trainer.precision=bf16-mixed")


def test_a_run_that_is_older_than_a_setting_goes_on(tmp_path):
    """A change of a default is refused with the difference; a new name of what was is not."""
    train(tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    old = OmegaConf.load(config)
    del old.train_on
    OmegaConf.save(old, config)
    train(tmp_path / "run", "+recipe.precision=32-true", "+recipe.made_for=shufflenet")
    old.keep = "last"
    OmegaConf.save(old, config)
    with pytest.raises(UserError, match="keep: last -> best"):
        train(tmp_path / "run")


def test_batch_norms_hold_on_to_the_number_of_processes(tmp_path):
    train(tmp_path / "run")
    held = tmp_path / "run" / "processes"
    assert held.read_text() == "1"
    held.write_text("2")
    (tmp_path / "run" / "phases" / "all" / "finished").unlink()
    with pytest.raises(UserError, match=r"begun with 2 process.*20 images at a time, not as many"):
        train(tmp_path / "run")
    train(tmp_path / "other", "+recipe.micro_batch=5")
    assert not (tmp_path / "other" / "processes").exists(), "it is the same on any number"


def test_synchronised_batch_norms_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"trainer\.sync_batchnorm: .*recipe\.micro_batch"):
        train(tmp_path / "run", "+trainer.sync_batchnorm=true")


def test_all_training_images_can_be_trained_with(tmp_path):
    def images(*overrides: str) -> int:
        cfg = training.own_part(load("train_supernet", *QUICK, *overrides))
        job = training.build_job(cfg, tmp_path)
        assert job.info["trained_on"] == job.train.name
        return len(job.train)

    held_out = len(Digits().split("search_val"))
    assert images("train_on=train") == images() + held_out
    with pytest.raises(ValueError, match="train_on must be null, train_fit or train, got 'test'"):
        images("train_on=test")


# -- what an accuracy rests on ---------------------------------------------------------------------


def test_an_accuracy_is_told_with_its_images_and_interval(tmp_path, capsys):
    result = train(tmp_path / "run")
    (phase,) = result["phases"]
    assert phase["images"] == 20
    told = capsys.readouterr().out
    assert "top-1 in percent of 20 images of search_val, with 95% intervals: smallest" in told
    low, high = interval(phase["anchors"]["smallest"], 20)
    assert f"[{low:.1f}, {high:.1f}]" in told
    assert "CAUTION" not in told
    train(tmp_path / "all", "train_on=train", "validation.images=null")
    told = capsys.readouterr().out
    assert "CAUTION: search_val was trained on" in told
    assert f"{len(Digits().split('search_val')):,} images of search_val" in told


def test_anchors_near_chance_are_told_while_training(tmp_path, capsys):
    train(tmp_path / "run", "recipe.phases.0.lr=1e-9")  # as good as untrained
    told = capsys.readouterr().err
    assert re.search(r"step 5: NEAR CHANCE: .* on 20 images, and guessing has 10%", told)


def test_all_that_a_training_lacks_is_told_at_once(tmp_path, monkeypatch):
    """Weights of another space, other classes, no login and no room."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = train(tmp_path / "other")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e6))
    typed = ["searchspace.num_classes=7", "logger=wandb"]
    weights = f"+recipe.phases.0.init_from={result['supernet']}"
    with pytest.raises(UserError) as error:
        train(tmp_path / "run", *typed, weights)
    told = str(error.value)
    for part in (
        f"{result['supernet']} holds the supernet of another space",
        "tell 7 classes apart, but the data set has 10",
        "logger=wandb: there is no login",
        "too little room: 1 MB are free, and about 5",
    ):
        assert part in told
    assert not (tmp_path / "run" / "phases").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.yaml", "null", r"config.yaml, line 1 is damaged: searchspace"),
        ("config.yaml", "searchspace: [5]", r"config.yaml, line 1 is damaged: searchspace"),
        ("phases/all/validation.jsonl", "", r"validation.jsonl, line 1 is damaged: a phase that"),
        ("phases/all/validation.jsonl", "[]\n", r"validation.jsonl, line 1 is damaged: expected"),
        ("phases/all/finished", "[]", r"phases/all was trained for \[\] steps, now it would be"),
        ("phases/all/last.ckpt", {"step": "x"}, r"last.ckpt is damaged: delete it to repeat"),
        ("phases/all/last.ckpt", [5], r"last.ckpt is damaged: delete it to repeat the phase"),
        ("phases/all/last.ckpt", {"step": 1, "module": {}}, r"last.ckpt is damaged: delete it"),
        ("processes", "[]", r"was begun with \[\] process\(es\), now there are 1"),
    ],
)
def test_a_file_of_another_shape_is_told_in_words(name, content, told, tmp_path, trained):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    if isinstance(content, str):
        (run / name).write_text(content)
    else:
        torch.save(content, run / name)
    if name in ("phases/all/last.ckpt", "processes"):
        (run / "phases/all/finished").unlink()
    with pytest.raises(UserError, match=told):
        train(run)
