"""Runs and exports of older versions name classes that have moved since."""

import pkgutil

import pytest

from collm_nas.config.renamed import current_name, with_current_names


@pytest.mark.parametrize(
    "old",
    [
        "collm_nas.spaces.mobilenet.space.MobileNet",
        "collm_nas.spaces.shufflenet.space.ShuffleNet",
        "collm_nas.spaces.autoformer.space.AutoFormer",
        "collm_nas.spaces.nasbench201.space.NASBench201",
        "collm_nas.training.recipe.Recipe",
        "collm_nas.training.recipe.Phase",
        "collm_nas.training.augmentation.RandomCrop",
        "collm_nas.training.optimizer.SGD",
        "collm_nas.training.sampling.Uniform",
        "collm_nas.strategy.collm.CoLLM",
    ],
)
def test_an_old_name_leads_to_the_class(old):
    kind = pkgutil.resolve_name(current_name(old))
    assert kind.__name__ == old.rpartition(".")[2]


def test_names_of_others_stay():
    assert current_name("my_nas.recipe.base.Phase") == "my_nas.recipe.base.Phase"


def test_every_target_in_a_config_is_translated():
    old = {"recipe": {"phases": [{"_target_": "collm_nas.training.recipe.Phase", "name": "a"}]}}
    new = {
        "recipe": {"phases": [{"_target_": "collm_nas.cli.training_run.recipe.Phase", "name": "a"}]}
    }
    assert with_current_names(old) == new
