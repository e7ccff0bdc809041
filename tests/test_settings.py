"""All settings are checked before anything is spent, and nonsense is never taken.

What is nonsense for a key is judged by the value that it is shipped with and by the other values
that it takes, not by the annotations that the check reads.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from collm_nas.cli.settings import (
    ComparisonSettings,
    EvaluationSettings,
    InheritedSettings,
    SearchSettings,
    SupernetSettings,
    TrainingSettings,
    check,
)
from collm_nas.config.run import UserError
from collm_nas.core.arguments import MISSING, Path, key_of
from tests.conftest import load, options

SCHEMAS: Mapping[str, tuple[type, ...]] = {
    "search": (SearchSettings,),
    "train_supernet": (SupernetSettings,),
    "evaluate": (EvaluationSettings, InheritedSettings, TrainingSettings),
    "compare": (ComparisonSettings,),
}
# groups whose options are tried side by side, with the options that read what they set
GROUPS: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "search": (
        (("searchspace", "strategy", "evaluator", "hardware", "logger"), ("llm=scripted",)),
        (("llm", "data"), ("strategy=collm", "evaluator=supernet")),
    ),
    "train_supernet": ((("searchspace", "data", "recipe", "trainer", "logger"), ()),),
    "evaluate": ((("searchspace", "data", "evaluator"), ()), (("recipe", "trainer", "logger"), ())),
    "compare": (),
}
NAMES = [f"choices.{group}=x" for group in ("searchspace", "strategy", "llm", "recipe")]

VALUES: Mapping[str, Any] = {
    "a word": "abc",
    "odd characters": "ü 🙂 '\"\\ ../ $(x)",
    "a number in quotes": "5",
    "no text": "",
    "control characters": "a\x00\n\x1b[31m",
    "half a character": "\ud800",
    "minus one": -1,
    "zero": 0,
    "one": 1,
    "a fraction": 0.5,
    "a huge number": 10**30,
    "not a number": math.nan,
    "infinite": math.inf,
    "minus infinite": -math.inf,
    "true": True,
    "null": None,
    "no list": [],
    "a list of words": ["abc"],
    "a list of minus one": [-1],
    "a list of lists": [[]],
    "no mapping": {},
    "a mapping": {"abc": "abc"},
    "a node": {"_target_": "collm_nas.recipe.schedule.Cosine"},
}
NEVER = {"no text", "control characters", "half a character", "minus one", "not a number"}
NEVER |= {"infinite", "minus infinite", "a list of minus one", "a list of lists"}
KINDS = {bool: "true or false", int: "number", float: "number", str: "text", list: "list"}
# what goes to others as it is: to Lightning, to a server, to Hydra, to the space
ANYTHING = ("trainer*", "*extra_body*", "*._partial_", "*._recursive_", "arch")
ANYTHING += ("*.sampling.choices*", "logger.tensorboard.logger*")
# keys that take values of several kinds
SEVERAL: Mapping[str, set[str]] = {
    "searchspace.size": {"text", "mapping"},
    "strategy.candidates": {"text", "number"},
    "strategy.mutation_rate": {"number", "mapping"},
    "limits.*": {"number", "list"},
    "continue_with": {"text", "mapping", "node"},
    "stand_alone": {"text", "node"},
}
ALSO: Mapping[str, set[str]] = {"budget.target": {"infinite"}, "strategy.target": {"infinite"}}


class Case(NamedTuple):
    """A command with options, and the roots of the keys that are tried in it."""

    command: str
    overrides: tuple[str, ...]
    roots: tuple[str, ...]


class Setting(NamedTuple):
    """A key in a config, and the value that it is shipped with."""

    path: Path
    shipped: Any

    @property
    def key(self) -> str:
        return key_of(self.path)


def cases() -> Iterator[Case]:
    """List few configs that have every option of every group, and every experiment."""
    for command, schemas in SCHEMAS.items():
        grouped = {group for groups, _ in GROUPS[command] for group in groups}
        own = sorted({field.name for s in schemas for field in fields(s)} - grouped)
        usual = ("llm=scripted", *NAMES) if grouped else ()
        yield Case(command, usual, tuple(own))
        for groups, readers in GROUPS[command]:
            # llm=auto is replaced by what there is before anything is checked
            known = {g: [n for n in options(g) if (g, n) != ("llm", "auto")] for g in groups}
            for i in range(max(map(len, known.values()))):
                chosen = [f"{group}={names[i % len(names)]}" for group, names in known.items()]
                new = [group for group, names in known.items() if i < len(names)]
                yield Case(command, (*chosen, *readers, *NAMES), tuple(new))
        for name in options("experiment") if grouped else ():
            yield Case(command, (f"experiment={name}", *usual), ())


CASES = list(cases())


def composed(case: Case) -> DictConfig:
    """Compose the config, and set what must be set."""
    cfg = load(case.command, *case.overrides)
    for path, value in walk(OmegaConf.to_container(cfg, resolve=False)):
        if value == MISSING:
            put(cfg, path, ["x"] if path[-1] == "columns" else "x")
    return cfg


def walk(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield `node` and everything in it; of plain lists the first item."""
    yield path, node
    steps = node.items() if isinstance(node, dict) else ()
    if isinstance(node, list):
        steps = enumerate(node if any(isinstance(item, dict) for item in node) else node[:1])
    for step, value in steps:
        yield from walk(value, (*path, step))


def put(cfg: DictConfig, path: Path, value: Any) -> None:
    node: Any = cfg
    for step in path[:-1]:
        node = node._get_node(step)
    with open_dict(cfg):
        node[path[-1]] = value


def tried(case: Case, cfg: DictConfig) -> list[list[Setting]]:
    """List the settings of a case, in lists that do not hide each other: what holds, or is read."""
    groups = {group for groups, _ in GROUPS[case.command] for group in groups}
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    levels: dict[object, list[Setting]] = defaultdict(list)
    for root in case.roots:
        for path, shipped in walk(raw[root], (root,)):
            setting = Setting(path, shipped)
            free = any(fnmatchcase(setting.key, pattern) for pattern in ANYTHING)
            if not free and (len(path) > 1 or root not in groups):
                of_group = root if root in groups else ""
                levels[of_group, len(path), path[-1] == "_target_"].append(setting)
    return list(levels.values())


def said(case: Case, cfg: DictConfig, settings: Collection[Setting], value: Any) -> list[str]:
    """Return what the check says if all of the settings have a value."""
    for setting in settings:
        put(cfg, setting.path, value)
    try:
        check(cfg, *SCHEMAS[case.command])
    except UserError as error:
        return str(error).splitlines()
    finally:
        for setting in settings:
            put(cfg, setting.path, setting.shipped)
    return []


def faults(case: Case, names: Collection[str]) -> tuple[int, list[str]]:
    """Return how many settings were tried with the named values, and what was taken wrongly."""
    cfg = composed(case)
    levels = tried(case, cfg)
    found = []
    for settings in levels:
        answers = {name: said(case, cfg, settings, VALUES[name]) for name in names}
        for setting in settings:
            key = setting.key
            taken = {n for n, said in answers.items() if not any(is_about(x, key) for x in said)}
            found += [f"{key} takes {what}" for what in nonsense(cfg, setting, taken)]
        for name, lines in answers.items():
            roots = {str(setting.path[0]) for setting in settings}
            found += [f"{name}: {x}" for x in lines if not any(x.startswith(r) for r in roots)]
    return sum(map(len, levels)), found


def is_about(line: str, key: str) -> bool:
    """Tell whether a line is about a key, or about something in it."""
    return line.startswith(key) and line[len(key) :][:1] in (" ", ".", "[", ":")


def nonsense(cfg: DictConfig, setting: Setting, taken: set[str]) -> list[str]:
    """Return which of the values that a setting takes it should not."""
    key = setting.key
    also = next((v for k, v in ALSO.items() if fnmatchcase(key, k)), set())
    several = next((v for k, v in SEVERAL.items() if fnmatchcase(key, k)), set())
    found = sorted(taken & NEVER - also)
    kinds = {kind(VALUES[name]) for name in taken} | {kind(resolved(cfg, setting.path))}
    if len(kinds - {"null"} - several) > (not several):
        found.append(" and ".join(sorted(kinds - {"null"})))
    if "a huge number" in taken and "a fraction" not in taken:
        found.append("a huge whole number")
    return found


def resolved(cfg: DictConfig, path: Path) -> Any:
    node: Any = cfg
    for step in path:
        node = node[step]
    return node


def kind(value: Any) -> str:
    """Return what kind of value it is."""
    if isinstance(value, dict | DictConfig):
        return "node" if "_target_" in value else "mapping"
    return "null" if value is None else KINDS.get(type(value), "list")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLM_LLM_MODEL", "some-model")  # of llm=endpoint


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.overrides[:7]))
def test_what_is_shipped_is_taken_and_some_nonsense_is_not(case: Case) -> None:
    """All values are tried by benchmarks/settings_fuzz.py."""
    check(composed(case), *SCHEMAS[case.command])
    names = random.Random(" ".join(case.overrides)).sample(list(VALUES), 1)
    if "a huge number" in names:
        names.append("a fraction")  # without which it says nothing
    assert not faults(case, names)[1]
