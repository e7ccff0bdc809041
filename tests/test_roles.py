"""Every chat model of a strategy is ledgered and capped, whatever its role is called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from collm_nas.cli import session
from collm_nas.cli.estimate import estimate
from collm_nas.config.binding import is_chat_model, with_models
from collm_nas.config.run import Stopped, UserError
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.llm.base import ChatModel, Message
from tests.conftest import search_config

HERE = "tests.test_roles"
SCRIPTED = "collm_nas.fake_llm.scripted.ScriptedChat"


class Panel:
    """A strategy of someone else: two models with names of their own, one purpose for both."""

    def __init__(
        self, problem: Problem, seed: int, critic: ChatModel, writer: ChatModel, aide: Any = None
    ) -> None:
        self.problem, self.seed, self.models, self.aide = problem, seed, (critic, writer), aide

    def propose(self, archive: Archive) -> Batch:
        told = [Message("system", "Generator"), Message("user", "Propose an architecture.")]
        for model in self.models:
            model.complete(told, purpose=f"say/{len(archive.rounds)}")
        return Batch.of(self.problem.sample(round_rng(self.seed, archive)))


class Aide:
    """Something of a strategy that holds other things."""

    def __init__(self, **things: Any) -> None:
        self.things = things


def hired(**settings: Any) -> ScriptedChat:
    """Make a chat model as a function does, which does not show in its name."""
    from collm_nas.spaces.nasbench201.space import NASBench201

    return ScriptedChat(NASBench201(), **settings)


def panel(**settings: Any) -> DictConfig:
    """Return the config of a search by a panel, with `settings` in its node."""
    config = search_config("budget.evaluations=3")
    model = OmegaConf.to_container(config.llm.model, resolve=True)
    with open_dict(config):
        config.strategy = {"_target_": f"{HERE}.Panel", "seed": 0, **settings}
        for name, value in settings.items():
            if value == "model":
                config.strategy[name] = model
            elif name == "models":
                config.strategy.models = dict.fromkeys(value, model)
    return config


PANELS = [panel(models=("critic", "writer")), panel(critic="model", writer="model")]


@pytest.mark.parametrize("config", PANELS, ids=["in models", "beside other settings"])
def test_models_of_any_name_are_ledgered_capped_estimated_and_named(config, tmp_path):
    with pytest.raises(Stopped, match=r"caps\.calls is reached: 2 of 2"):
        session.run(OmegaConf.merge(config, {"caps": {"calls": 2}}), tmp_path)
    result = session.run(config, tmp_path)
    calls = [json.loads(line) for line in (tmp_path / "llm_calls.jsonl").read_text().splitlines()]
    assert [(c["role"], c["purpose"]) for c in calls] == [
        (role, f"say/{i}") for i in range(3) for role in ("critic", "writer")
    ]
    assert "scripted:sensible" in result["llm"]
    assert [(e.role, e.calls) for e in estimate(config)] == [("critic", 3), ("writer", 3)]


def scripted(**more: Any) -> dict[str, Any]:
    space = {"_target_": "collm_nas.spaces.nasbench201.space.NASBench201"}
    return {"_target_": SCRIPTED, "space": space, **more}


@pytest.mark.parametrize(
    ("aide", "key"),
    [
        ({"_target_": f"{HERE}.hired"}, "strategy.aide"),
        ([{"deep": scripted()}], "strategy.aide.0.deep"),
        ({"_target_": f"{HERE}.Aide", "model": scripted()}, "strategy.aide.model"),
        (
            {"_target_": f"{HERE}.Aide", "_recursive_": False, "a": [scripted()]},
            "strategy.aide.a.0",
        ),
    ],
    ids=["made by a function", "in a list", "in an object", "not recursive"],
)
def test_a_model_anywhere_else_is_refused_with_its_key(aide, key, tmp_path):
    with pytest.raises(UserError, match=rf"{key} is a chat model that no cap .*strategy\.models"):
        session.run(panel(models=("critic", "writer"), aide=aide), tmp_path)


def test_a_model_that_is_made_late_is_refused_then(tmp_path):
    late = {"_target_": f"{HERE}.hired", "_partial_": True}
    config = panel(models=("critic", "writer"), aide=late)
    strategy = session.build_parts(with_models(config), tmp_path).strategy
    with pytest.raises(UserError, match=r"strategy\.aide is a chat model"):
        strategy.aide(seed=1)


def test_objects_of_a_strategy_that_are_no_models_are_built(tmp_path):
    inner = {"_target_": f"{HERE}.Aide", "number": 3}
    aide = {"_target_": f"{HERE}.Aide", "inner": [inner], "plain": {"a": [1, 2]}}
    config = panel(models=("critic", "writer"), aide=aide)
    built = session.build_parts(with_models(config), tmp_path).strategy.aide
    assert built.things["inner"][0].things == {"number": 3}
    assert built.things["plain"] == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"critic": "gpt-4"}, r"strategy\.models\.critic must be a chat model"),
        ({"critic": {"_target_": f"{HERE}.Aide"}}, r"strategy\.models\.critic: .*is no chat model"),
        ("gpt-4", r"strategy\.models must name a model for each role"),
    ],
)
def test_what_is_no_model_is_refused_in_models(models, message, tmp_path):
    config = panel()
    with open_dict(config):
        config.strategy.models = models
    with pytest.raises(UserError, match=message):
        session.run(config, tmp_path)


def test_a_role_that_the_strategy_does_not_know_is_told(tmp_path):
    with pytest.raises(UserError, match=r"`strategy` does not fit .*Panel.*judge"):
        session.run(panel(models=("critic", "writer", "judge")), tmp_path)


def test_only_classes_with_the_method_are_chat_models():
    assert is_chat_model({"_target_": SCRIPTED})
    assert is_chat_model({"_target_": "collm_nas.llm.openai.OpenAIChat"})
    for other in (f"{HERE}.Aide", "nowhere.at.all", "collm_nas.nothing", ""):
        assert not is_chat_model({"_target_": other})
    assert not is_chat_model({"model": "gpt-4"})
    assert not is_chat_model("gpt-4")
