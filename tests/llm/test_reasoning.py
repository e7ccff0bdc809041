"""Thoughts are split off in time linear in the text, however a model loops."""

import time

import pytest

from collm_nas.llm.keys import scrub
from collm_nas.llm.reasoning import split_reasoning

LOOPS = [
    *("<think>", "</think>", "<think></think>", "<think>a</think>b", "</think><think>", "<think "),
    *("[THINK]", "◁think▷", "<thinking", "<seed:", "<a_a_a_", "<|channel|>", "<|message|>", "<"),
    *("<|channel|>final<|message|>x", "<|channel|>analysis<|message|>x<|end|>", "<|start|>"),
    *("analysis", "analysisassistantfinal", "Here is my thought process:", " ", "\\n", "\\\\u"),
]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_looping_model_costs_linear_time(loop: str) -> None:
    def seconds(repeats: int) -> float:
        text = loop * repeats
        start = time.process_time()
        answer, reasoning = split_reasoning(text)
        scrub(text, "sk-0123456789abcdef")
        assert len(answer) + len(reasoning) <= len(text) + repeats
        return time.process_time() - start

    few, many = seconds(20_000), seconds(200_000)
    assert many < 30 * few + 0.5  # quadratic time would take a hundred times as long


def test_nothing_is_lost_between_answer_and_thoughts() -> None:
    answer, reasoning = split_reasoning("a<think>b</think>c</think>d<think>e</think>f[THINK]g")
    assert (answer, reasoning) == ("df", "ac\nb\ne\ng")
