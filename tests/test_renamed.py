"""Runs and exports of older versions name classes that have moved since."""

import pkgutil

import pytest

from collm_nas.config.renamed import current_name, with_current_names


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


def test_channels_that_an_older_recipe_sorts_are_a_preparation():
    phase = {"_target_": "collm_nas.recipe.base.Phase", "name": "a"}
    node = {"recipe": {"phases": [{**phase, "sort_channels": [4, 6]}]}}
    (found,) = with_current_names(node)["recipe"]["phases"]
    kind = pkgutil.resolve_name(found["prepare"].pop("_target_"))
    assert kind(**found["prepare"]).expansions == [4, 6]
    assert {**found, "prepare": None} == with_current_names({**phase, "sort_channels": None})
