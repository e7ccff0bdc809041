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
(OUTSIDE,) = re.findall(r"^```bash\n(.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)
LOAD = re.findall(r"^subnet = (collm_nas\.load_subnet\(.*\))$", TEXT, re.MULTILINE)[0]
# for a test: few, small images and few steps
QUICK = {
    "train_supernet.py": (
        *("searchspace.side=8", "recipe=digits", "+trainer.limit_train_batches=2"),
        *("validation.images=50", "validation.bn_images=50"),
    ),
    "search.py": (
        *("searchspace.side=8", "evaluator.changes.images=50", "budget.evaluations=2"),
        "report=line",
    ),
    "evaluate.py": (),
}


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
        "src/collm_nas/spaces/chain/space.md",
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


@pytest.mark.long
@pytest.mark.slow
def test_the_space_of_a_package_elsewhere_is_trained_searched_and_exported(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "my_nas"
    for name, content in FILES.items():
        path = package / name.removeprefix("src/collm_nas/spaces/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("collm_nas.spaces.chain", "my_nas.chain"))
    (package / "__init__.py").touch()
    (package / "conf" / "__init__.py").touch()
    (place := tmp_path / "place").mkdir()
    folders = [str(ROOT / "src"), str(package.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    environment["COLLM_CACHE"] = str(tmp_path / "cache")

    def run_there(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    for line in OUTSIDE.splitlines():
        _, script, *words = shlex.split(line)
        done = run_there(str(ROOT / script), *words, *QUICK[script])
        assert done.returncode == 0, done.stdout + done.stderr
    assert "spaces=[" in done.stdout, "the command that it tells next must work"
    use = f"import collm_nas, torch; print({LOAD}(torch.zeros(2, 3, 8, 8)).shape)"
    done = run_there("-c", use)
    assert done.stdout.strip() == "torch.Size([2, 10])", done.stderr
    refused = run_there("-c", use.replace(', spaces=["my_nas"]', ""))
    assert "load_subnet(folder, spaces=['my_nas'])" in refused.stderr
