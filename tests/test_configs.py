"""Every option and every experiment composes, and builds as far as it can without a network."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from collm_nas.cli import session
from collm_nas.config.run import UserError
from tests.conftest import CONF, load, options

NAMES = [f"choices.{group}=x" for group in ("searchspace", "strategy", "llm", "recipe")]
UNSET = {"table": "evaluator.table=x", "replay": "llm.model.run=x", "gguf": "llm.model.path=x"}


@pytest.mark.parametrize("experiment", options("experiment"))
def test_an_experiment_composes_and_says_how_it_is_run(experiment):
    config = load("search", f"experiment={experiment}", "llm=scripted", *NAMES)
    OmegaConf.to_container(config, resolve=True)
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"experiment={experiment}" in text, "its header gives the command"


@pytest.mark.parametrize("llm", options("llm"))
def test_every_model_composes_with_every_llm_strategy(llm, monkeypatch):
    monkeypatch.setenv("COLLM_LLM_MODEL", "some-model")
    for strategy in ("collm", "single_llm", "evoprompting", "iid_llm"):
        extra = [UNSET[llm]] if llm in UNSET else []
        config = load("search", f"llm={llm}", f"strategy={strategy}", *extra, *NAMES)
        OmegaConf.to_container(config, resolve=True)


def test_one_role_can_have_its_own_model():
    own = ["+llm@my_llm=claude_sonnet4", "strategy.models.navigator=${my_llm.model}"]
    config = load("search", "llm=gpt4", *own, *NAMES)
    assert config.strategy.models.navigator.model.startswith("claude")
    assert config.strategy.models.generator.model == "gpt-4.1"


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_the_other_commands_compose(command):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose(command)


def test_an_experiment_sets_budget_and_limits_and_the_command_line_has_the_last_word():
    assert load("search", "experiment=paper_nb201", *NAMES).budget.rounds == 20
    experiment = "experiment=ofa_predictor_300m"
    assert load("search", experiment, *NAMES).limits.macs == 300e6
    assert load("search", experiment, "limits.macs=1e6", *NAMES).limits.macs == 1e6


@pytest.mark.parametrize("row", [name for name in options("experiment") if "table2_" in name])
def test_a_row_of_table_2_says_which_files_it_needs_and_where(row, tmp_path):
    files = [f"supernet={tmp_path / 'weights'}", f"data.root={tmp_path / 'imagenet'}"]
    settings = [f"experiment={row}", "strategy=random", *files, *NAMES]
    with pytest.raises(UserError) as error:
        session.build_parts(load("search", *settings), tmp_path)
    told = str(error.value)
    assert "weights does not exist (config key: supernet). The published weights" in told
    assert "python train_supernet.py" in told
    assert f"ImageNet is not in {tmp_path / 'imagenet'}" in told


def test_table_2_has_all_rows_of_the_paper():
    rows = {name.removeprefix("paper_table2_") for name in options("experiment")}
    ofa = {f"ofa_{size}" for size in "tsbl"}
    assert rows >= ofa | {"spos"} | {f"autoformer_{size}" for size in "tsb"}
