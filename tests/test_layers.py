"""Who may import whom: a part imports only from parts below its own. Change this on purpose."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "collm_nas"
MAY_IMPORT = {  # room -> the rooms, or single modules, that it knows
    "core": {"spaces.base"},
    "config": {"core", "spaces.base"},
    "data": {"core"},
    "spaces": {"core", "data"},
    "prompting": {"core", "spaces"},
    "llm": {"core", "config"},
    "strategy": {"core", "spaces", "prompting", "llm.base"},
    "fake_llm": {"core", "config", "spaces", "prompting", "llm", "testing.schema"},
    "evaluator": {"core", "config", "spaces", "data"},
    "hardware": {"core", "config", "spaces", "evaluator"},
    "training": {"core", "config", "spaces", "data", "evaluator", "logger.base"},
    "export": {"core", "config", "spaces", "data", "evaluator"},
    "logger": {"core", "config", "llm"},
    "report": {"core", "config", "spaces", "llm", "evaluator", "logger"},
    "testing": {"core", "spaces", "prompting", "llm.base"},
    "cli": {
        *("core", "config", "data", "spaces", "prompting", "llm", "fake_llm", "strategy"),
        *("evaluator", "hardware", "training", "export", "logger", "report"),
    },
    "notebook": {"core", "evaluator.cache"},
    "__init__": {"core", "export", "notebook"},
}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.stat().st_size)
OURS = re.compile(r"collm_nas\.[\w.]*(:[\w.]+)?")  # a module or what is in it, as text
IMPORTERS = ("import_module", "__import__", "find_spec", "resolve_name")
KNOW_SPACES = {  # modules that name a concrete space, and why
    "collm_nas.config.renamed": "it says where the classes are today that older configs name",
}
WITHOUT_TORCH = {"core", "config", "strategy", "llm", "report", "logger", "fake_llm", "prompting"}
NETWORKS = {"supernet", "network", "elastic", "stand_alone", "checkpoint"}  # with torch, in spaces


def part(path: Path) -> str:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    # how a space is told in forms of its own lies beside it, as its text does
    return "prompting" if room == "spaces" and path.name == "dialect.py" else room


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in PACKAGE.rglob("*.py")}


def references(source: str, package: str) -> Iterator[tuple[str, bool]]:
    """List what a source refers to, wherever in it, and whether it does so by text alone.

    Args:
        package: that the source lies in, for relative names.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from ((alias.name, False) for alias in node.names)
            case ast.ImportFrom():
                base = absolute("." * node.level + (node.module or ""), package)
                yield from ((f"{base}.{alias.name}", False) for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if called(node) in IMPORTERS:
                yield absolute(name, package), True
            case ast.Constant(value=str(text)) if OURS.fullmatch(text):
                yield text.replace(":", "."), True


def absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    parents = package.split(".")[: 1 - level or None] if level else []
    return ".".join(filter(None, [*parents, name[level:]]))


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def imports(path: Path) -> set[str]:
    """List the modules that a file refers to; of other packages also what is in them."""
    return {name for name, _ in edges(path)}


def edges(path: Path) -> set[tuple[str, bool]]:
    package = module_of(path).rpartition(".")[0] if path.stem != "__init__" else module_of(path)
    return {(module_in(name), by_text) for name, by_text in references(path.read_text(), package)}


def module_in(name: str) -> str:
    """Return the module that `name` is, or that it is in; the package is one, too."""
    shorter = name
    while shorter not in MODULES and "." in shorter:
        shorter = shorter.rpartition(".")[0]
    return shorter if shorter in MODULES else name


def is_allowed(path: Path, name: str, by_text: bool) -> bool:
    """Spaces name their supernets and tables by text: a search shall load what it needs alone.

    What configs of older versions named is told by text, too.
    """
    own = part(path) == "spaces" and name.endswith((".supernet", ".tables"))
    return by_text and (own or module_of(path) == "collm_nas.config.renamed")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_knows_only_those_that_it_may(path):
    ours = {n for n, by_text in edges(path) if OURS.match(n) and not is_allowed(path, n, by_text)}
    ours |= {n for n, _ in edges(path) if n == "collm_nas"}
    names = {n.partition(".")[2] or "__init__" for n in ours}
    may = MAY_IMPORT[part(path)]
    foreign = {n for n in names if not {n, n.split(".")[0]} & {part(path), *may}}
    assert not foreign, f"{sorted(foreign)} may not be imported here"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_concrete_space_is_known_in_its_own_package_alone(path):
    """All others ask the space or its supernet, and a config says which class it is."""
    own = path.parent.name
    packages = {p.parent.name for p in (PACKAGE / "spaces").glob("*/__init__.py")}
    names = {tuple(n.split(".")[:3]) for n, _ in edges(path)}
    foreign = {p for p in packages - {own} if ("collm_nas", "spaces", p) in names}
    foreign = set() if module_of(path) in KNOW_SPACES else foreign
    assert not foreign, f"{sorted(foreign)}: make it a hook of the space or its supernet"


def test_no_files_import_each_other_in_a_circle():
    graph = {
        module_of(p): {
            n for n, by_text in edges(p) if n in MODULES and not is_allowed(p, n, by_text)
        }
        - {module_of(p)}
        for p in SOURCES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import collm_nas.cli.session", "collm_nas.cli.session"),
        ("import collm_nas.cli.session as s", "collm_nas.cli.session"),
        ("from collm_nas.cli import session", "collm_nas.cli.session"),
        ("from collm_nas import load_subnet", "collm_nas"),
        ("import collm_nas", "collm_nas"),
        ("from collm_nas.cli.session import run", "collm_nas.cli.session"),
        ("from ..cli import session", "collm_nas.cli.session"),
        ("from ..cli.session import run", "collm_nas.cli.session"),
        ("from . import base", "collm_nas.spaces.base"),
        ("from .base import Costs", "collm_nas.spaces.base"),
        ("def f():\n    from collm_nas.cli import session", "collm_nas.cli.session"),
        ("if TYPE_CHECKING:\n    from collm_nas.cli import session", "collm_nas.cli.session"),
        ("importlib.import_module('collm_nas.cli.session')", "collm_nas.cli.session"),
        ("import_module('..cli.session', __package__)", "collm_nas.cli.session"),
        ("__import__('collm_nas.cli.session')", "collm_nas.cli.session"),
        ("target = {'_target_': 'collm_nas.cli.session.run'}", "collm_nas.cli.session"),
        (
            "supernet = 'collm_nas.spaces.mobilenet.supernet:OFASupernet'",
            "collm_nas.spaces.mobilenet.supernet",
        ),
        ("f'collm_nas.cli.session.{name}'", "collm_nas.cli.session"),
        ("importlib.import_module(f'collm_nas.{name}')", "collm_nas"),
        ("importlib.import_module('torch')", "torch"),
        ("from torch import nn", "torch.nn"),
    ],
)
def test_every_form_of_reference_is_read(source, name):
    found = references(source, "collm_nas.spaces")
    assert name in {module_in(n.removesuffix(".")) for n, _ in found}


def test_prose_is_no_reference():
    assert [*references("'''See collm_nas.cli.session, or run it.'''", "collm_nas")] == []


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in SOURCES
        if part(p) in WITHOUT_TORCH or (part(p) == "spaces" and p.stem not in NETWORKS)
    ],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_the_search_does_not_know_torch(path):
    assert not any(m.split(".")[0] in {"torch", "pytorch_lightning"} for m in imports(path))


def test_only_entry_points_and_their_helpers_know_hydra():
    knowing = {part(path) for path in SOURCES if any(m.startswith("hydra") for m in imports(path))}
    assert knowing <= {"config", "cli", "testing"}


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
