"""What `llm=auto` means: a pure function of the environment and of what is installed."""

from __future__ import annotations

import pytest

from collm_nas.llm.auto import BY_KEY, EMBEDDED, choose
from collm_nas.llm.base import LLMUnavailable


def everything(package: str) -> bool:
    return True


def nothing(package: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("environ", "option"),
    [
        ({"OPENAI_API_KEY": "k"}, "gpt4"),
        ({"ANTHROPIC_API_KEY": "k"}, "claude_sonnet4"),
        ({"DEEPSEEK_API_KEY": "k"}, "deepseek_r1"),
        ({"DEEPSEEK_API_KEY": "k", "OPENAI_API_KEY": "k"}, "gpt4"),
        ({"OPENAI_API_KEY": "", "DEEPSEEK_API_KEY": "k"}, "deepseek_r1"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"}, "gpt4"),
        ({"COLLM_LLM_BASE_URL": "http://h/v1", "COLLM_LLM_MODEL": "m"}, "endpoint"),
        ({"OPENAI_BASE_URL": "http://h/v1", "COLLM_LLM_MODEL": "m"}, "endpoint"),
        (
            {"COLLM_LLM_BASE_URL": "http://h/v1", "COLLM_LLM_MODEL": "m", "OPENAI_API_KEY": "k"},
            "endpoint",
        ),
        ({}, "local"),
    ],
)
def test_the_configured_model_comes_before_the_embedded_one(
    environ: dict[str, str], option: str
) -> None:
    assert choose(environ, everything) == option


@pytest.mark.parametrize("missing", EMBEDDED)
def test_the_embedded_model_needs_engine_and_weights(missing: str) -> None:
    with pytest.raises(LLMUnavailable):
        choose({}, lambda package: package != missing)


def test_without_any_model_the_error_names_all_ways_out() -> None:
    with pytest.raises(LLMUnavailable) as caught:
        choose({}, nothing)
    ways = [*BY_KEY, *BY_KEY.values(), "COLLM_LLM_BASE_URL", "llm.fetch smollm2-135m", "llm=ollama"]
    for way in [*ways, "llm=gguf", "strategy=random"]:
        assert way in str(caught.value)
    assert "scripted" not in str(caught.value)


@pytest.mark.parametrize("variable", ["COLLM_LLM_BASE_URL", "OPENAI_BASE_URL"])
def test_an_endpoint_without_a_model_is_an_error_and_not_another_model(variable: str) -> None:
    with pytest.raises(LLMUnavailable, match=r"found the endpoint http://h/v1, but not which") as e:
        choose({variable: "http://h/v1"}, everything)
    assert "COLLM_LLM_MODEL=" in str(e.value)


def test_it_looks_at_the_real_environment_without_importing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLLM_LLM_BASE_URL", "http://h/v1")
    monkeypatch.setenv("COLLM_LLM_MODEL", "m")
    assert choose() == "endpoint"
