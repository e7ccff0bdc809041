"""docs/strategies.md adds a strategy that asks a language model as printed: files and a search."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "strategies.md").read_text()
FILE = re.compile(r"^`(\S+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = dict(FILE.findall(TEXT))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project to which the files of the document were added."""
    copy = tmp_path_factory.mktemp("project")
    for folder in ("src", "conf", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "search.py"):
        shutil.copy(ROOT / name, copy)
    for name, content in FILES.items():
        assert not (copy / name).exists(), f"{name} is taken: choose another name"
        (copy / name).write_text(content)
    return copy


def run(project: Path, *words: str) -> str:
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


def test_the_strategy_searches_and_tells_what_it_says(project: Path) -> None:
    assert [*FILES] == [
        "src/collm_nas/strategy/contrast.py",
        "src/collm_nas/prompting/templates/paper/contrast_user.md",
        "conf/strategy/contrast.yaml",
    ]
    settings = [
        "strategy=contrast",
        "llm=scripted",
        "budget.evaluations=20",
        "prompting.examples=2",
    ]
    run(project, "search.py", *settings, "run_dir=run", "report=line")
    calls = [
        json.loads(line) for line in (project / "run/llm_calls.jsonl").read_text().splitlines()
    ]
    first, second = (call["messages"][-1]["content"] for call in calls[:2])
    assert first.startswith("Write 5-10 different architectures.")
    assert second.count('"accuracy"') == 6
    assert "What do the best have that the worst lack?" in second


def test_its_code_is_as_clean_as_ours(project: Path) -> None:
    run(project, "-m", "ruff", "check", "src/collm_nas/strategy/contrast.py")
    run(project, "-m", "ruff", "format", "--check", "src/collm_nas/strategy/contrast.py")
