"""What pip installs works without a checkout, from an empty folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import CONF, ROOT, options

pytestmark = [pytest.mark.slow, pytest.mark.long]
COMMANDS = ("collm-train", "collm-search", "collm-evaluate", "collm-compare")
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel: with the hatchling that is there, else with one that pip brings for it."""
    folder = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip("wheel", "--no-deps", *isolation, "--wheel-dir", folder, ROOT)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install the wheel beside the packages that are there; return what runs a command of it."""
    site = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}

    def run(folder: Path, command: str, *arguments: str) -> Done:
        return subprocess.run(
            [sys.executable, site / "bin" / command, *arguments],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_carries_every_option_and_every_file_of_the_package(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if "__pycache__" not in name}
    package = ROOT / "src" / "collm_nas"
    sources = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    expected = {f"collm_nas/{p.relative_to(package)}" for p in sources}
    expected |= {f"collm_nas/conf/{p.relative_to(CONF)}" for p in CONF.rglob("*.yaml")}
    assert {name for name in carried if name.startswith("collm_nas/")} == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_there_and_knows_its_options(
    command: str, run: Run, tmp_path: Path
) -> None:
    shown = run(tmp_path, command, "--help")
    assert shown.returncode == 0, shown.stderr
    (strategies,) = re.findall(r"^strategy: (.*)$", shown.stdout, re.MULTILINE)
    assert set(options("strategy")) <= set(strategies.split(", "))
    assert not [*tmp_path.iterdir()]


def test_a_search_runs_where_it_is_typed(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path, "collm-search", "strategy=random", "budget.evaluations=5", "report=line")
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("runs/nasbench201/random-seed0-*/result.json")
    assert json.loads(result.read_text())["evaluations"] == 5
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    (following,) = re.findall(r"^next: (.*)$", done.stdout, re.MULTILINE)
    command, *arguments = shlex.split(following)
    assert command == "collm-compare"
    compared = run(tmp_path, command, *arguments)
    assert compared.returncode == 0, compared.stderr
    assert "random" in compared.stdout


def test_a_mistyped_option_is_told_the_nearest(run: Run, tmp_path: Path) -> None:
    refused = run(tmp_path, "collm-search", "strategy=randm")
    assert "did you mean strategy=random?" in refused.stderr
