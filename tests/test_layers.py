"""Who may import whom: a part imports only from parts below its own. Change this on purpose."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "collm_nas"
LAYERS = [
    {"architecture", "files", "hints", "quoting", "unpickling", "ranges", "arguments"},
    {"searchspace", "llm", "run", "data"},
    {"problem", "supernet"},
    {"archive", "evaluator"},
    {"strategy", "hardware", "recipe", "export"},
    {"search", "logger"},
    {"report"},
    {"preflight"},
    {"session", "training"},
    {"evaluation", "estimate", "compose", "settings", "testing", "entry", "__init__"},
]
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.stat().st_size)
WITHOUT_TORCH = ("searchspace", "strategy", "llm", "search", "archive", "problem", "session")


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return modules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_lower_layers(path):
    level = next(i for i, layer in enumerate(LAYERS) if part(path) in layer)
    ours = {m for m in imports(path) if m.startswith("collm_nas")}
    imported = {m.split(".")[1] if "." in m else "" for m in ours} - {"", part(path)}
    below = set().union(*LAYERS[:level])
    assert imported <= below, f"{sorted(imported - below)} may not be imported here"


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if part(p) in WITHOUT_TORCH],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_the_search_does_not_know_torch(path):
    assert not any(m.split(".")[0] in {"torch", "pytorch_lightning"} for m in imports(path))


def test_only_entry_points_and_their_helpers_know_hydra():
    knowing = {part(path) for path in SOURCES if any(m.startswith("hydra") for m in imports(path))}
    assert knowing <= {"run", "compose", "hints", "quoting", "testing", "entry"}


def test_a_tabular_search_imports_neither_torch_nor_an_llm_client(tmp_path):
    command = [sys.executable, "-X", "importtime", "search.py", "strategy=random"]
    done = subprocess.run(
        [*command, "budget.evaluations=5", f"run_dir={tmp_path}/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"torch", "openai", "wandb", "pandas", "sklearn", "xllamacpp", "pymoo"} & imported
