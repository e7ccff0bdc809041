"""Every strategy that asks a language model obeys the settings of `prompting`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.prompting.settings import Prompting
from collm_nas.spaces.nasbench201.space import cell_string
from collm_nas.strategy.collm import CoLLM
from collm_nas.strategy.evoprompting import EvoPrompting
from collm_nas.strategy.iid_llm import IIDLLM
from collm_nas.strategy.prompted import Prompted
from collm_nas.strategy.single_llm import SingleLLM
from tests.conftest import FixedChat, ToyWorld

ARMS: dict[str, Callable[..., Prompted]] = {
    "collm": lambda problem, llm, **more: CoLLM(problem, 0, llm, llm, 2, **more),
    "single_llm": lambda problem, llm, **more: SingleLLM(problem, 0, llm, 2, **more),
    "iid_llm": lambda problem, llm, **more: IIDLLM(problem, 0, llm, 2, **more),
    "evoprompting": lambda problem, llm, **more: EvoPrompting(
        problem, 0, llm, 2, population=4, parents=2, **more
    ),
}
every_arm = pytest.mark.parametrize("arm", ARMS)
of_results = pytest.mark.parametrize("arm", ["single_llm", "evoprompting", "collm"])
EXAMPLES = "The best architectures so far:"


def cells(purpose: str) -> str:
    """Write two cells that no other round writes; a Navigator's strategy is none."""
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    n = int(purpose.split("/")[1]) + 1
    two = [cell_string([*[ops[n % 5]] * 3, op, "none", "none"]) for op in ("none", ops[3])]
    return json.dumps({"architectures": [{"cell": cell} for cell in two]})


def prompts(arm: str, problem: Problem, path: Path, **settings: Any) -> list[str]:
    """Search for four rounds; return the last message of each call for architectures."""
    chat = FixedChat(cells)
    path.mkdir(exist_ok=True)
    strategy = ARMS[arm](problem, chat, prompting=Prompting(**settings))
    archive = Archive.open(path / "archive.jsonl", problem.objective)
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, rounds=4))
    return [ms[-1].content for purpose, ms, _ in chat.calls if "navigator" not in purpose]


@every_arm
def test_the_set_of_templates_is_that_of_prompting(
    arm: str, problem: Problem, tmp_path: Path
) -> None:
    paper, brief = (prompts(arm, problem, tmp_path / p, prompts=p) for p in ("paper", "brief"))
    assert all(len(b) < len(p) for b, p in zip(brief, paper, strict=True))


@of_results
def test_examples_are_shown_on_request(arm: str, problem: Problem, tmp_path: Path) -> None:
    for name in ("paper", "brief"):
        told = prompts(arm, problem, tmp_path / name, prompts=name, examples=2)[-1]
        shown = told.partition(EXAMPLES)[2].strip().splitlines()[:2]
        assert len(shown) == 2
        assert all(line.endswith("%") for line in shown)
        none = prompts(arm, problem, tmp_path / f"{name}0", prompts=name)[-1]
        assert EXAMPLES not in none


def test_without_memory_the_results_of_the_last_round_are_told(
    problem: Problem, tmp_path: Path
) -> None:
    whole = prompts("single_llm", problem, tmp_path / "whole")
    last = prompts("single_llm", problem, tmp_path / "last", memory=False)
    assert [told.count('"accuracy"') for told in whole] == [0, 2, 4, 6]
    assert [told.count('"accuracy"') for told in last] == [0, 2, 2, 2]


def test_independent_samples_are_told_nothing_of_results(problem: Problem, tmp_path: Path) -> None:
    told = prompts("iid_llm", problem, tmp_path, examples=3)
    assert len({*told}) == 1
    assert EXAMPLES not in told[0]


@every_arm
def test_letters_reach_every_prompt(arm: str, problem: Problem, tmp_path: Path) -> None:
    chat = FixedChat(lambda purpose: '{"edges": ["A", "B", "C", "D", "E", "A"]}')
    strategy = ARMS[arm](problem, chat, prompting=Prompting(names="opaque", order_seed=1))
    archive = Archive.open(tmp_path / "archive.jsonl", problem.objective)
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, rounds=2))
    told = "\n".join(message.content for _, messages, _ in chat.calls for message in messages)
    assert "edges" in told
    assert not any(cue in told for cue in ("conv", "skip_connect", "CIFAR", "~0"))
