"""Every option of conf/llm composes and builds without a key, and no key enters a config."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from collm_nas.config.run import build
from collm_nas.llm.auto import BY_KEY
from collm_nas.llm.base import LLMUnavailable, Message
from collm_nas.llm.openai import OpenAIChat
from tests.conftest import load

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = [path.stem for path in sorted((CONF / "llm").glob("*.yaml"))]
KEY = "sk-proj-0123456789abcdefghij"


def option(name: str, *overrides: str) -> DictConfig:
    """Compose `llm=name` alone, with the root's seed."""
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose(overrides=["+seed=0", "+prompting=paper", f"+llm={name}", *overrides])
    assert isinstance(cfg.llm, DictConfig)
    return cfg.llm


MODELS = {name: option(name).model for name in OPTIONS}
ENDPOINTS = [name for name, model in MODELS.items() if model and "OpenAIChat" in model._target_]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (*BY_KEY, "OPENAI_BASE_URL", "COLLM_LLM_BASE_URL", "COLLM_LLM_API_KEY_ENV"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("COLLM_LLM_MODEL", "a-model")


def test_the_options_of_the_paper_are_there() -> None:
    assert {
        *("gpt4", "gpt5", "o3", "o4_mini", "claude_sonnet4", "deepseek_r1", "qwen3_30b_a3b"),
        *("ollama", "endpoint", "auto", "replay"),
    } <= set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_embedded_models_are_prompted_as_small_ones(name: str) -> None:
    prompting = load("search", f"llm={name}").strategy.prompting
    small = name in ("local", "gguf")
    assert prompting.names == ("short" if small else "official")
    assert prompting.prompts == ("brief" if small else "paper")
    assert load("search", f"llm={name}", "prompting=paper").prompting.prompts == "paper"


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_says_where_its_settings_come_from(name: str) -> None:
    text = (CONF / "llm" / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    if name in ENDPOINTS:
        assert "Key:" in text


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_builds_without_a_key(name: str) -> None:
    model = build(option(name).model)
    assert isinstance(model, OpenAIChat)
    assert model.settings["model"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((name, "OPENAI_API_KEY") for name in ("gpt4", "gpt5", "o3", "o4_mini")),
        ("claude_sonnet4", "ANTHROPIC_API_KEY"),
        ("deepseek_r1", "DEEPSEEK_API_KEY"),
    ],
)
def test_asking_without_a_key_names_its_variable(name: str, key: str) -> None:
    model = build(option(name).model)
    with pytest.raises(LLMUnavailable, match=key):
        model.complete([Message("user", "Hello.")], purpose="navigator/0")


@pytest.mark.parametrize("name", OPTIONS)
def test_no_key_enters_a_config(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in BY_KEY:
        monkeypatch.setenv(variable, KEY)
    cfg = OmegaConf.merge({"seed": 0, "searchspace": {}, "prompting": {}}, {"llm": option(name)})
    if name != "replay":
        assert KEY not in OmegaConf.to_yaml(cfg, resolve=True)


def test_every_parameter_of_the_class_is_in_the_shared_file() -> None:
    shared = OmegaConf.load(CONF / "llm" / "openai.yaml")
    parameters = inspect.signature(OpenAIChat).parameters
    assert set(shared.model) - {"_target_"} == set(parameters)


def test_one_role_alone_can_have_another_model() -> None:
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose(overrides=["+seed=0", "+llm=gpt4", "+llm@my_llm=claude_sonnet4"])
    assert cfg.llm.model.model == "gpt-4.1"
    assert cfg.llm.model.base_url is None
    assert cfg.my_llm.model.model.startswith("claude")
    assert "anthropic" in cfg.my_llm.model.base_url


def test_every_setting_can_be_overridden() -> None:
    node = option("gpt4", "llm.model.temperature=null", "+llm.model.extra_body.top_k=5").model
    settings: Any = build(node).settings
    assert "temperature" not in settings
    assert settings["extra_body"] == {"top_k": 5}
