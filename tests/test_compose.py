"""A command finds its own run directory, whose name may stand in the next command as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from collm_nas.cli.compose import choose_run_dir, choose_training_dir, recorded, with_other_model
from collm_nas.config.run import UserError
from tests.conftest import CONF

URL = "llm.model.base_url=http://gpu:8000/v1"


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    HydraConfig.instance().cfg = None


def typed(*overrides: str, command: str = "search") -> DictConfig:
    """Compose a config as the command does, with what Hydra remembers of the command line."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(command, list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
    return cfg


def directory(*overrides: str) -> str:
    return str(choose_run_dir(typed(*overrides)))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["strategy=local_search", "experiment=spos_small", "data.root='/a, b/(c)=d'"],
        [
            "llm=gpt4",
            URL,
            "limits.macs=[1e6,2e6]",
            "+limits.latency_ms=3",
            "prompting.order_seed=9",
        ],
        ["strategy=nsga2", "pareto={val_accuracy: 80, macs: 250e6}"],
        ["llm=gpt4", "+llm@my_llm=gpt5", "strategy.models.navigator=${my_llm.model}"],
    ],
)
def test_a_run_directory_can_be_pasted(overrides):
    found = directory(*overrides)
    assert re.fullmatch(r"runs/\w+/[\w.-]+-seed0-[0-9a-f]{8}", found)
    override = OverridesParser.create().parse_override(f"run={found}")
    assert override.value() == found


def test_it_says_what_a_person_looks_for():
    name = directory("strategy=local_search", "experiment=spos_small", "data.root=x", "seed=3")
    assert name.startswith("runs/shufflenet_tiny/local_search-spos_small-seed3-")
    assert directory("llm=gpt4").startswith("runs/nasbench201/collm-gpt4-seed0-")


@pytest.mark.parametrize(
    "overrides",
    [
        ["llm.model.timeout_s=9", "llm.model.retries=1", URL, "llm.model.api_key_env=MY_KEY"],
        ["budget.evaluations=500", "caps.usd=1", "workers=2", "logger=wandb", "report=line"],
        ["strategy.candidates=5-10", "constraint_mode=feedback"],  # as they are anyway
    ],
)
def test_what_changes_no_result_leads_to_the_same_directory(overrides):
    assert directory("llm=gpt4", *overrides) == directory("llm=gpt4")


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "llm.model.temperature=1", "llm.model.model=other", "llm.model.structured=text",
        "llm.model.max_completion_tokens=99", "limits.macs=1e6", "limits.macs=1e7", "llm=o3",
        "strategy.candidates=7", "prompting.memory=false", "constraint_mode=prefilter",
        "searchspace.dataset=cifar100", "strategy=single_llm", "evaluator.seed=777",
        "+llm.model.extra_body.top_k=3", "hardware=memory", "budget.target=91",
    ],
)  # fmt: skip
def test_what_may_change_results_leads_to_another(override):
    assert directory("llm=gpt4", override) != directory("llm=gpt4")


def test_other_weights_and_other_images_lead_to_other_directories():
    names = {
        directory("searchspace=shufflenet_tiny", "strategy=random", *more)
        for more in ([], ["supernet=a"], ["supernet=b"], ["data=imagefolder", "data.root=c"],
                     ["data=imagefolder", "data.root=d"], ["supernet=a", "evaluator.device=cpu"])
    }  # fmt: skip
    assert len(names) == 5


def test_a_directory_with_a_name_of_the_older_kind_goes_on():
    older = Path("runs/nasbench201/collm-gpt4-seed0,limits.macs=1e6,llm.model.timeout_s=5")
    older.mkdir(parents=True)
    typing = ["llm=gpt4", "limits.macs=1e6", "llm.model.timeout_s=5", "caps.usd=1"]
    assert directory(*typing) != str(older), "there is no run in it"
    OmegaConf.save(typed(*typing), older / "config.yaml", resolve=False)
    assert directory(*typing) == str(older)
    assert directory(*typing, "seed=1") != str(older)


def test_a_training_has_a_directory_for_its_settings():
    def training(*overrides: str) -> str:
        return str(choose_training_dir(typed("searchspace=shufflenet_tiny", *overrides,
                                             command="train_supernet")))  # fmt: skip

    first = training()
    assert re.fullmatch(r"runs/shufflenet_tiny/train-light-seed0-[0-9a-f]{8}", first)
    assert training("pace.log_every_steps=7", "data_workers=2") == first
    assert training("recipe.batch_size=7") != first
    assert training("supernet=x/y.safetensors") == "x"
    assert "-first3-" in training("+trainer.limit_train_batches=3")
    older = Path("runs/shufflenet_tiny/train-light-seed0")
    older.mkdir(parents=True)
    config = typed("searchspace=shufflenet_tiny", command="train_supernet")
    own = ("searchspace", "data", "recipe", "validation", "keep", "train_on", "pace", "trainer")
    settings = {key: config[key] for key in (*own, "seed")}
    OmegaConf.save(settings, older / "config.yaml", resolve=True)
    assert training() == str(older)
    assert training("recipe.batch_size=7") != str(older)


def test_continue_with_replaces_the_model_of_every_role_and_nothing_else():
    before = typed("llm=gpt4", "llm.model.temperature=0.1")
    command = ["llm=gpt4", "llm.model.temperature=0.1", "continue_with=gpt5"]
    after = typed(*command)
    assert choose_run_dir(after) == choose_run_dir(before)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        changed = with_other_model(after)
        with pytest.raises(UserError, match="continue_with=gpt55: there is no such llm"):
            with_other_model(typed_within(*command[:-1], "continue_with=gpt55"))
    for role in ("navigator", "generator"):
        assert changed.strategy.models[role].model == "gpt-5"
        assert changed.strategy.models[role].temperature is None
    assert changed.strategy.candidates == before.strategy.candidates
    assert with_other_model(before) is before


def typed_within(*overrides: str) -> DictConfig:
    cfg = compose("search", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


@pytest.mark.parametrize("shape", ["older", "present"])
def test_a_replay_answers_every_role_from_the_recording(shape):
    config = typed("llm=gpt4", "+strategy.models.critic=${llm.model}")
    run = Path("runs/old, name=1")
    run.mkdir(parents=True)
    (run / "llm_calls.jsonl").touch()
    saved = OmegaConf.to_container(config.copy(), resolve=False)
    del saved["hydra"]
    saved["choices"] = {}
    if shape == "older":
        saved["strategy"] |= saved["strategy"].pop("models")
    OmegaConf.save(OmegaConf.create(saved), run / "config.yaml", resolve=True)
    replayed = recorded(typed(f"replay='{run}'"))
    for role in ("navigator", "generator", "critic"):
        assert replayed.strategy.models[role]["run"] == str(run)
        assert replayed.strategy.models[role]["role"] == role
        assert role not in {**replayed.strategy}
    assert replayed.run_dir == "runs/replay/old_name_1"
