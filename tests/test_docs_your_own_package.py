"""docs/your-own-package.md works as printed: a package in a folder of its own, through Hydra."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "your-own-package.md").read_text()
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
(COMMANDS,) = re.findall(r"^```sh\n(.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)
FIRST, SECOND = COMMANDS.splitlines()
HERE = "hydra.searchpath=[pkg://my_nas.conf]"
# a strategy that asks a model, to be chosen by the command
ASKING = """
_target_: my_nas.asking.Asking
seed: ${seed}
models: {adviser: "${llm.model}"}
"""
ASKING_CODE = """
from collm_nas.core.strategy import Batch, round_rng

class Asking:
    def __init__(self, problem, seed: int, adviser) -> None:
        self.problem, self.seed, self.adviser = problem, seed, adviser

    def propose(self, archive):
        return Batch.of(self.problem.sample(round_rng(self.seed, archive)))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return an empty folder beside the package."""
    for name, content in {
        **FILES,
        "my_nas/__init__.py": "",
        "my_nas/conf/__init__.py": "",
        "my_nas/asking.py": ASKING_CODE,
        "my_nas/conf/strategy/asking.yaml": ASKING,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def run(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script, *arguments = words
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{place.parent}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_document_has_a_strategy_and_an_evaluator() -> None:
    folders = {Path(name).parent.name for name in FILES}
    assert folders == {"", "my_nas", "strategy", "evaluator"}


def test_the_printed_command_runs_and_continues(place: Path) -> None:
    for evaluations in (30, 40):
        words = [*shlex.split(FIRST)[1:], f"budget.evaluations={evaluations}", "report=line"]
        done = run(place, *words)
        assert done.returncode == 0, done.stderr
        (result,) = place.glob("runs/nasbench201/mutations-seed0-*/result.json")
        assert json.loads(result.read_text())["evaluations"] == evaluations
    compared = run(place, "compare.py", "runs=[runs]")
    assert compared.returncode == 0, compared.stderr
    assert "mutations" in compared.stdout


def test_one_part_of_ones_own_goes_with_ours(place: Path) -> None:
    words = [*shlex.split(SECOND)[1:], "budget.evaluations=5", "report=line"]
    done = run(place, *words)
    assert done.returncode == 0, done.stderr


def test_a_sweep_knows_the_package(place: Path) -> None:
    words = [HERE, "strategy=mutations,random", "budget.evaluations=5", "report=line"]
    done = run(place, "search.py", "-m", *words)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs are done" in done.stdout


def test_a_folder_serves_as_well(place: Path) -> None:
    folder = f"hydra.searchpath=[file://{place.parent / 'my_nas/conf'}]"
    done = run(place, "search.py", folder, "strategy=mutations", "budget.evaluations=5")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("strategy=mutation", "did you mean strategy=mutations?"),
        ("strategy.parnts=2", "did you mean strategy.parents?"),
    ],
)
def test_what_is_mistyped_is_told_the_nearest(typed: str, hint: str, place: Path) -> None:
    chosen = [] if typed.startswith("strategy=") else ["strategy=mutations"]
    refused = run(place, "search.py", HERE, *chosen, typed)
    assert refused.returncode == 1
    assert hint in refused.stderr


def test_a_wrong_setting_is_named_with_its_key(place: Path) -> None:
    refused = run(place, "search.py", HERE, "strategy=mutations", "strategy.parents=many")
    assert refused.returncode == 2
    assert "strategy.parents" in refused.stderr


def test_a_model_that_is_chosen_for_a_strategy_of_ones_own(place: Path) -> None:
    words = [HERE, "strategy=asking", "budget.evaluations=5", "report=line"]
    key = {"OPENAI_API_KEY": "sk-none"}
    done = run(place, "search.py", *words, **key)
    assert "llm=auto: using llm=gpt" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_parts_keep_their_promises(place: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_nas.py"]
    path = os.pathsep.join([str(place.parent), str(ROOT / "src")])
    done = subprocess.run(
        command,
        cwd=place.parent,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
