"""Each command ends with the next one, ready to be pasted: here every printed one is run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.test_commands import run

RUN_DIRS = ["plain", "a=b,c:d it's {a} [b] (e)", ' $HOME;x qu"ote tr\\ail\\']
TRAINING = ["recipe.phases.0.epochs=1", "recipe.phases.0.warmup_epochs=0"]
IMAGES = ["evaluator.changes.images=60", "evaluator.changes.bn_images=50"]


def printed(output: str) -> list[str]:
    """Return the arguments of the command that ends `output`, as a shell splits them."""
    last = output.splitlines()[-1]
    assert last.startswith("next: python "), output
    return shlex.split(last.removeprefix("next: python "))


def override(directory) -> str:
    """Write `run_dir=…` as a person would, for names that have no quotes or backslashes."""
    from collm_nas.report.next_command import next_command

    return shlex.split(next_command("x", run_dir=directory))[-1]


@pytest.mark.parametrize("name", RUN_DIRS)
def test_a_stopped_search_prints_what_continues_it_wherever_it_is(name, tmp_path):
    where = override(tmp_path / name)
    stopped = run("search.py", "llm=scripted", "caps.calls=3", "budget.evaluations=12", where)
    assert stopped.returncode == 3
    command = printed(stopped.stderr)
    assert command[0] == "search.py"
    again = run(*command)
    assert again.returncode == 3, "it is the same command, cap and all"
    done = run(*command, "caps.calls=null")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / name / "result.json").read_text())["evaluations"] == 12
    assert [path.name for path in tmp_path.iterdir()] == [name]
    compared = run(*printed(done.stdout), f"picture={tmp_path}/x.png")
    assert compared.returncode == 0, compared.stderr


def test_without_a_run_dir_the_directory_is_named(tmp_path):
    """Settings that name the directory may then be changed in what is pasted."""
    inside = {"COLUMNS": "100", "PYTHONPATH": str(ROOT / "src")}
    typed = ["llm=gpt4", "caps.calls=0", "strategy=iid_llm"]
    stopped = subprocess.run(
        [sys.executable, ROOT / "search.py", *typed],
        cwd=tmp_path, env={**os.environ, **inside, "OPENAI_API_KEY": "any"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert stopped.returncode == 3, stopped.stderr
    (directory,) = (tmp_path / "runs/nasbench201").iterdir()
    found = directory.relative_to(tmp_path)
    assert set(printed(stopped.stderr)) == {"search.py", *typed, f"run_dir={found}"}


def test_an_interrupted_search_prints_what_continues_it(tmp_path):
    command = [sys.executable, "search.py", "strategy=random", "budget.evaluations=14000"]
    started = subprocess.Popen(
        [*command, "report=line", f"run_dir={tmp_path}/run"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    archive = tmp_path / "run" / "archive.jsonl"
    deadline = time.monotonic() + 60
    while not (archive.exists() and archive.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 3, told
    rounds = len(archive.read_text().splitlines())
    done = run(*printed(told), f"budget.rounds={rounds + 1}")
    assert done.returncode == 0, done.stderr
    assert len(archive.read_text().splitlines()) == rounds + 1


def test_a_full_disk_prints_what_continues_it(tmp_path):
    typed = ["strategy=random", "budget.evaluations=3", f"run_dir={tmp_path}/run"]
    code = (
        "import errno, sys\n"
        "from collm_nas.core.files import Journal\n"
        "def full(*_): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "Journal.append = full\n"
        "sys.argv = ['search.py', *sys.argv[1:]]\n"
        "import runpy; runpy.run_path('search.py', run_name='__main__')"
    )
    stopped = run("-c", code, *typed)
    assert stopped.returncode == 3, stopped.stderr
    done = run(*printed(stopped.stderr))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_from_a_training_to_a_shipped_network_by_what_is_printed(tmp_path):
    """Train, search, evaluate, export, load: each by the command that the one before printed."""
    where = tmp_path / "a=b, 'c'"
    cache = {"COLLM_CACHE": str(tmp_path / "cache")}
    typed = ["experiment=digits_demo", *TRAINING, override(where / "train")]
    trained = run("train_supernet.py", *typed, **cache)
    assert trained.returncode == 0, trained.stderr
    command = printed(trained.stdout)
    assert command[0] == "search.py"
    quick = [*IMAGES, "strategy=random", "budget.evaluations=2", override(where / "search")]
    searched = run(*command, *quick, **cache)
    assert searched.returncode == 0, searched.stderr
    scripts = ["search.py"]
    while (command := printed(searched.stdout))[0] != "-c":
        scripts.append(command[0])
        searched = run(*command, **cache)
        assert searched.returncode == 0, searched.stderr
    assert scripts == ["search.py", "evaluate.py", "evaluate.py"]
    loaded = run(*command, **cache)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.long
@pytest.mark.slow
def test_an_interrupted_training_prints_what_continues_it(tmp_path):
    typed = ["experiment=digits_demo", "recipe.phases.0.epochs=6", "pace.validate_every_epochs=6"]
    started = subprocess.Popen(
        [sys.executable, "train_supernet.py", *typed, override(tmp_path / "a=b")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stderr is not None
    assert started.stderr.readline() == "phase paths: 90 steps\n"
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=120)
    assert started.returncode == 3, told
    done = run(*printed(told))
    assert done.returncode == 0, done.stderr
    assert printed(done.stdout)[0] == "search.py"
    assert (tmp_path / "a=b" / "supernet.safetensors").exists()


def test_what_pip_installed_is_named_as_it_is_typed(monkeypatch):
    from collm_nas.report.next_command import next_command

    monkeypatch.setattr(sys, "argv", ["/opt/bin/collm-search", "strategy=random"])
    assert next_command("train_supernet.py", "seed=1") == "next: collm-train seed=1"
    assert next_command("-c", "print(1)") == "next: python -c 'print(1)'"
