"""docs/add-a-search-space.md works as printed: its files are written, its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "add-a-search-space.md").read_text()
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^```sh\n(.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project to which the files of the document were added."""
    copy = tmp_path_factory.mktemp("project")
    for folder in ("src", "conf", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, content in FILES.items():
        assert not (copy / name).exists(), f"{name} is taken: choose another name for the toy"
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(content)
    return copy


def test_document_adds_a_space_a_config_and_a_supernet() -> None:
    assert [*FILES] == [
        "src/collm_nas/spaces/chain/space.py",
        "conf/searchspace/chain.yaml",
        "src/collm_nas/spaces/chain/supernet.py",
    ]
    assert len(COMMANDS) == 2


def run(project: Path, *words: str) -> str:
    """Run a Python module in `project`; fail unless it succeeds; return what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs_and_passes(project: Path, command: str) -> None:
    python, *words = shlex.split(command)
    assert python == "python"
    assert "passed" in run(project, *words, "-v")


def test_code_of_the_document_is_as_clean_as_ours(project: Path) -> None:
    modules = [name for name in FILES if name.endswith(".py")]
    run(project, "-m", "ruff", "check", *modules)
    run(project, "-m", "ruff", "format", "--check", *modules)
