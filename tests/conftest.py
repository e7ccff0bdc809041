"""Shared fixtures: composed configs, a problem solved in milliseconds, a chat of fixed answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import key_of, problems
from collm_nas.core.problem import Limit, Metrics, Problem
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.llm.base import JSON, Message, Reply
from collm_nas.spaces.nasbench201.space import NASBench201

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))

# Before anything imports torch: the networks of the tests are too small to gain from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def options(group: str) -> list[str]:
    """List the options of a config group."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def problems_of(factory: Callable[..., Any], **settings: Any) -> str:
    """Say what the check of settings finds wrong with arguments of `factory`."""
    return "\n".join(p.told(key_of(p.path)) for p in problems(factory, settings, partial=True))


@cache
def _composed(config: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config, list(overrides), return_hydra_config=False)


def load(config: str, *overrides: str) -> DictConfig:
    """Compose a config as a command does."""
    return deepcopy(_composed(config, *overrides))


class ToyWorld:
    """An evaluator without data: convolutions are good, and an absent edge is bad."""

    objective = "val_accuracy"
    protocol = "toy"

    def __init__(self) -> None:
        self.asked: list[Architecture] = []

    def evaluate(self, arch: Architecture) -> Metrics:
        self.asked.append(arch)
        worth = {"nor_conv_3x3": 5.0, "nor_conv_1x1": 3.0, "skip_connect": 2.0, "none": -4.0}
        tie_breaker = sum(map(ord, str(arch))) % 97 / 100
        return {
            "val_accuracy": 60 + sum(worth.get(str(op), 0.0) for op in arch["op"]) + tie_breaker
        }


class FixedChat:
    """A chat model that answers by a function of the purpose, and remembers what it was asked."""

    name = "fixed"
    is_language_model = False

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.settings: JSON = {"model": "fixed"}
        self.answer = answer
        self.calls: list[tuple[str, Sequence[Message], JSON | None]] = []

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        self.calls.append((purpose, tuple(messages), schema))
        return Reply(self.answer(purpose), finish_reason="stop")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of values that the original implementations computed."""
    folder = SHARED / "specs" / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set COLLM_SHARED to the folder that holds specs/golden")
    return folder


@pytest.fixture
def space() -> NASBench201:
    return NASBench201()


@pytest.fixture
def problem(space: NASBench201) -> Problem:
    return Problem(space, ClosedForm(space))


@pytest.fixture
def limited(space: NASBench201) -> Problem:
    return Problem(space, ClosedForm(space), (Limit("macs", maximum=120e6),))


def search_config(*overrides: str, strategy: str = "collm", llm: str = "scripted") -> DictConfig:
    """Compose the config of a search, as `search.py` would, with the names of its choices."""
    names = ["choices.searchspace=nasbench201", f"choices.strategy={strategy}"]
    names += ["choices.recipe=x"]
    chosen = [f"strategy={strategy}", f"llm={llm}", f"choices.llm={llm}"]
    return load("search", *chosen, *names, "report=line", *overrides)
