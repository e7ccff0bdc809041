"""Trainings that are killed, interrupted or shared by processes, as they are started in a shell."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]
QUICK = [
    "searchspace=shufflenet_tiny",
    "recipe=digits",
    "recipe.batch_size=20",
    "data_workers=1",
    "validation.images=40",
    "validation.bn_images=40",
    "pace.validate_every_epochs=0.3",
    "pace.checkpoint_every_steps=4",
]
PHASE = (
    "{_target_: collm_nas.training.recipe.Phase, name: %s, steps: 25, lr: 0.1,"
    " sampling: {_target_: collm_nas.training.sampling.Uniform}}"
)
PHASES = f"recipe.phases=[{PHASE % 'first'},{PHASE % 'second'}]"


def start(run_dir: Path, *overrides: str, script: str = "train_supernet.py"):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "COLLM_CACHE": str(run_dir.parent / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    where = [f"run_dir={run_dir}"] if script == "train_supernet.py" else []
    return subprocess.Popen(
        [sys.executable, script, *overrides, *where],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def wait_for(path: Path, process) -> None:
    while not path.exists():
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill-9", "ctrl-c"])
def test_a_disturbed_run_ends_with_the_same_weights_bit_for_bit(tmp_path, end):
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    finish(start(whole, *QUICK, PHASES))
    for phase in ("first", "second"):
        process = start(disturbed, *QUICK, PHASES)
        wait_for(disturbed / "phases" / phase / "last.ckpt", process)
        time.sleep(random.Random(phase).random() / 2)
        process.send_signal(end)
        process.communicate(timeout=60)
        if end == signal.SIGINT:
            assert process.returncode in (0, 3)
    finish(start(disturbed, *QUICK, PHASES))
    for name in ("supernet.safetensors", "phases/first/supernet.safetensors"):
        assert (whole / name).read_bytes() == (disturbed / name).read_bytes()
    for phase in ("first", "second"):
        name = f"phases/{phase}/validation.jsonl"
        assert (whole / name).read_text() == (disturbed / name).read_text()


def processes(folder: Path, *overrides: str) -> list[dict]:
    folder.mkdir()
    finish(
        start(folder, str(folder), *overrides, script="tests/training/several_processes.py"),
    )
    return [torch.load(path, weights_only=True) for path in sorted(folder.glob("weights-*.pt"))]


VIT = [
    "searchspace=autoformer_tiny32",
    "recipe=digits",  # SGD: Adam would blow differences in rounding up
    "recipe.batch_size=16",
    "data_workers=0",
    "validation.images=20",
    "choices={searchspace: x, recipe: x, strategy: x, llm: x}",
    f"recipe.phases=[{PHASE.replace('Uniform', 'Uniform, subnets: 2') % 'all'}]",
    "recipe.phases.0.steps=6",
    "recipe.phases.0.lr=0.001",
]


def test_two_processes_draw_the_same_subnets_and_end_with_the_same_weights(tmp_path):
    """In every step each process has half of the batch; together they do what one would do."""
    one, other = processes(tmp_path / "two", *VIT, "trainer=ddp_sim")
    (alone,) = processes(tmp_path / "one", *VIT)
    assert one["subnets"] == other["subnets"] == alone["subnets"]
    for name, weights in one["weights"].items():
        assert torch.equal(weights, other["weights"][name]), name
        assert torch.allclose(weights, alone["weights"][name], atol=2e-5), name


NORMALISED = [
    "searchspace=shufflenet_tiny",
    "recipe=digits",
    "+recipe.micro_batch=8",
    "recipe.batch_size=16",
    *VIT[3:],
]


def test_batch_norms_see_the_same_images_in_one_process_and_in_two(tmp_path):
    """Dropout is drawn for a micro-batch, too; only running statistics belong to a process."""
    one, other = processes(tmp_path / "two", *NORMALISED, "trainer=ddp_sim")
    (alone,) = processes(tmp_path / "one", *NORMALISED)
    assert one["subnets"] == other["subnets"] == alone["subnets"]
    (unlike,) = processes(tmp_path / "unlike", *NORMALISED, "recipe.micro_batch=null")
    trained = [name for name in alone["weights"] if name.endswith("weight")]

    def apart(a: dict, b: dict) -> float:
        return max((a["weights"][n] - b["weights"][n]).abs().max().item() for n in trained)

    assert apart(one, other) == 0
    assert apart(one, alone) < apart(unlike, alone) / 20, "rounding, not other batches"


def test_the_command_trains_in_two_processes(tmp_path):
    finish(start(tmp_path / "run", *QUICK, PHASES, "trainer=ddp_sim"))
    assert (tmp_path / "run" / "supernet.safetensors").exists()
