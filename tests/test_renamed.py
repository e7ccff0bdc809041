"""Runs and exports of older versions name classes that have moved since."""

import pkgutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from collm_nas.config.binding import composed, stored
from collm_nas.config.renamed import (
    current_name,
    with_current_keys,
    with_current_names,
    with_current_settings,
)
from tests.conftest import ROOT, load


@pytest.mark.parametrize(
    "old",
    [
        "collm_nas.searchspace.mobilenet.MobileNet",
        "collm_nas.searchspace.shufflenet.ShuffleNet",
        "collm_nas.searchspace.autoformer.AutoFormer",
        "collm_nas.searchspace.nasbench201.NASBench201",
        "collm_nas.recipe.base.Recipe",
        "collm_nas.recipe.base.Phase",
        "collm_nas.recipe.augmentation.RandomCrop",
        "collm_nas.recipe.optimizer.SGD",
        "collm_nas.recipe.sampling.Uniform",
        "collm_nas.llm.scripted.ScriptedChat",
        "collm_nas.strategy.collm.CoLLM",
        "collm_nas.evaluator.tabular.TabularEvaluator",
        "collm_nas.evaluator.predictor.PredictorEvaluator",
        "collm_nas.evaluator.predictor.evaluator.PredictorEvaluator",
    ],
)
def test_an_old_name_leads_to_the_class(old):
    kind = pkgutil.resolve_name(current_name(old))
    assert kind.__name__ == old.rpartition(".")[2]


def test_names_of_others_stay():
    assert current_name("my_nas.recipe.base.Phase") == "my_nas.recipe.base.Phase"


def test_every_target_in_a_config_is_translated():
    old = {"recipe": {"phases": [{"_target_": "collm_nas.recipe.base.Phase", "name": "a"}]}}
    new = {"recipe": {"phases": [{"_target_": "collm_nas.training.recipe.Phase", "name": "a"}]}}
    assert with_current_names(old) == new


def test_a_run_that_selected_on_test_says_so_by_its_split():
    old = "collm_nas.evaluator.tabular_select_on_test.SelectOnTestEvaluator"
    found = with_current_names({"_target_": old, "table": "x", "partial": False})
    now = load("search", "evaluator=tabular_select_on_test", "evaluator.table=x").evaluator
    assert found == now


def test_channels_that_an_older_recipe_sorts_are_a_preparation():
    phase = {"_target_": "collm_nas.recipe.base.Phase", "name": "a"}
    node = {"recipe": {"phases": [{**phase, "sort_channels": [4, 6]}]}}
    (found,) = with_current_names(node)["recipe"]["phases"]
    kind = pkgutil.resolve_name(found["prepare"].pop("_target_"))
    assert kind(**found["prepare"]).expansions == [4, 6]
    assert {**found, "prepare": None} == with_current_names({**phase, "sort_channels": None})


def test_a_logger_without_a_name_and_settings_of_one_are_taken():
    own = {"_target_": "my_nas.Logger", "file": "x"}
    assert with_current_settings({"logger": own})["logger"] == {"logger": own}
    shipped = {"wandb": {"_target_": "collm_nas.logger.wandb.WandbLogger", "project": "a"}}
    changed = with_current_settings({"logger": {**shipped, "project": "b"}})["logger"]
    assert changed == {"wandb": {**shipped["wandb"], "project": "b"}}
    assert with_current_keys(["search.py", "logger.tags=[a]"])[1] == "logger.wandb.tags=[a]"


# -- how models are prompted was set in three places ---------------------------------------------

OLD_KEYS = [
    ("searchspace.names=opaque", "prompting.names=opaque"),
    ("+searchspace.order_seed=3", "+prompting.order_seed=3"),
    ("searchspace.names=official,opaque", "prompting.names=official,opaque"),
    ("llm.asking.examples=5", "prompting.examples=5"),
    ("strategy.asking.one_by_one=true", "prompting.one_by_one=true"),
    ("strategy.prompts=brief", "prompting.prompts=brief"),
    ("strategy.navigator_memory=false", "prompting.memory=false"),
]
SMALL = {"prompts": "brief", "names": "short", "one_by_one": True, "memory": False, "examples": 5}


@pytest.mark.parametrize(("typed", "meant"), OLD_KEYS)
def test_a_command_may_use_the_older_keys(typed, meant):
    others = ["search.py", "-m", "llm=gpt4", "strategy.candidates=7", "searchspace=nasbench201"]
    assert with_current_keys([*others, typed]) == [*others, meant]


def without_target(prompting):
    return {key: value for key, value in prompting.items() if key != "_target_"}


def older(path: Path, llm: dict, strategy: dict, **space) -> Path:
    """Write the config of a run from before there was `prompting`."""
    space = {"_target_": "collm_nas.searchspace.nasbench201.NASBench201", **space}
    chat = {"_target_": "collm_nas.llm.scripted.ScriptedChat", "space": space, "seed": 0}
    models = {"models": {"llm": chat}}
    config = {"searchspace": space, "llm": {"asking": llm}, "strategy": {**strategy, **models}}
    OmegaConf.save(OmegaConf.create(config), path / "config.yaml")
    return path / "config.yaml"


def test_a_run_of_then_is_prompted_as_it_was(tmp_path):
    asking = {"one_by_one": True, "examples": 5}
    strategy = {"_target_": "collm_nas.strategy.collm.CoLLM", "asking": asking}
    strategy |= {"prompts": "brief", "navigator_memory": False}
    found = stored(older(tmp_path, SMALL, strategy, names="opaque", order_seed=3))
    expected = {**SMALL, "names": "opaque", "order_seed": 3}
    assert without_target(found.strategy.prompting) == expected
    assert {*found.strategy} == {"_target_", "prompting", "models"}
    assert {*found.searchspace} == {*found.strategy.models.llm.space} == {"_target_"}
    assert without_target(found.strategy.models.llm.prompting) == expected


def test_a_run_of_a_strategy_that_did_not_obey_is_prompted_as_it_was(tmp_path):
    """What the model's file said of prompts, memory and examples did not reach `single_llm`."""
    strategy = {"_target_": "collm_nas.strategy.single_llm.SingleLLM"}
    strategy |= {"asking": {"one_by_one": True}}
    found = stored(older(tmp_path, SMALL, strategy, names="short", order_seed=None))
    expected = load("search", "prompting.names=short", "prompting.one_by_one=true").prompting
    assert found.strategy.prompting == expected


def test_a_recorded_run_binds_what_the_same_command_does_today():
    found = stored(ROOT / "examples/recorded/nasbench201-imagenet16-opaque-seed0/config.yaml")
    now = load("search", "prompting.names=opaque", "prompting.order_seed=0")
    assert found.strategy.prompting == now.prompting


def test_older_files_of_a_user_go_on_working():
    cfg = load(
        "search",
        "+searchspace.names=opaque",
        "+llm.asking={prompts: brief, names: official}",
        "+strategy.asking={examples: 3, one_by_one: '${llm.asking.one_by_one}'}",
    )
    today = composed(cfg)
    assert (today.strategy.prompting.names, today.strategy.prompting.examples) == ("opaque", 3)
    assert today.prompting.prompts == "brief"
    assert "asking" not in today.strategy
    assert "names" not in today.searchspace
    assert composed(load("search")) == load("search")


def test_older_files_of_a_user_may_name_older_classes():
    cfg = load("search", "evaluator._target_=collm_nas.evaluator.tabular.TabularEvaluator")
    assert composed(cfg) == load("search")


def test_spaces_and_strategies_of_others_keep_their_settings():
    theirs = {"_target_": "my_nas.Space", "names": "mine"}
    found = composed(OmegaConf.create({"prompting": {"names": "official"}, "searchspace": theirs}))
    assert found.searchspace == theirs
    assert found.prompting.names == "official"


def test_settings_of_a_strategy_of_others_are_their_own():
    typed = ["strategy=mine", "strategy.prompts=theirs", "searchspace.names=opaque"]
    assert with_current_keys(typed) == [*typed[:2], "prompting.names=opaque"]
