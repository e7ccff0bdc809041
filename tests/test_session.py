"""A run directory is the memory of a search: it is continued, guarded, and says what it holds."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from collm_nas.cli import session
from collm_nas.cli.settings import SearchSettings, check
from collm_nas.config.run import Stopped, UserError
from collm_nas.evaluator.cache import CachedEvaluator
from collm_nas.fake_llm.server import serve
from collm_nas.prompting.dialect import dialect_of
from collm_nas.report.errors import FRUITLESS, STOPPED, WRONG_INPUT, told_plainly
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import SHARED, options, search_config

SHORT = "budget.evaluations=20"


def files(run_dir: Path) -> dict[str, bytes]:
    """Return what must be the same however often a search was interrupted."""
    return {p.name: p.read_bytes() for p in run_dir.glob("archive.jsonl")}


def test_a_search_leaves_its_files_and_a_result(tmp_path):
    result = session.run(search_config(SHORT, "report=full"), tmp_path / "run")
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written >= {
        "archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl", "config.yaml", "result.json",
        "environment.json", "rounds.csv", "best_so_far.png", "accuracy_cost.png",
    }  # fmt: skip
    assert result["evaluations"] == 20
    assert result["finished"]
    assert 1 <= result["best"]["rank"] <= 15_625
    assert result == json.loads((tmp_path / "run/result.json").read_text())


def test_what_is_no_language_model_says_so(tmp_path, capsys):
    result = session.run(search_config(SHORT, "report=full"), tmp_path / "run")
    assert "NOT a language model" in result["llm"]
    assert "NOT a language" in capsys.readouterr().out


def test_a_stand_in_that_answers_in_the_place_of_a_model_is_named(tmp_path, monkeypatch):
    with serve("sensible", dialect_of(NASBench201())) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        result = session.run(search_config("budget.evaluations=5", llm="gpt4"), tmp_path / "run")
    assert re.fullmatch(r"gpt-4.1, answered by scripted:\w+ \(.*NOT a language.*\)", result["llm"])


@pytest.mark.parametrize(
    ("persona", "looks_like"),
    [
        ("empty", "the answer is empty"),
        ("refusal", "contains no JSON object. It begins: "),
        ("wrong_lengths", "must "),
    ],
)
def test_a_search_without_one_readable_answer_fails_and_says_what_was_written(
    tmp_path, persona, looks_like, capsys
):
    settings = search_config(f"llm.model.persona={persona}", "budget.idle_rounds=2")
    for _ in range(2):  # also when the finished search is only reported again
        with pytest.raises(SystemExit) as caught, told_plainly():
            session.run(settings, tmp_path / "run")
        assert caught.value.code == FRUITLESS == 1
        told = capsys.readouterr().err
        assert "in 2 rounds the model wrote not one architecture" in told
        assert looks_like in told
        assert "llm_calls.jsonl" in told


def test_the_same_command_again_pays_nothing(tmp_path):
    run_dir = tmp_path / "run"
    session.run(search_config(SHORT), run_dir)
    before = {p.name: p.read_bytes() for p in run_dir.glob("*.jsonl")}
    session.run(search_config(SHORT), run_dir)
    assert {p.name: p.read_bytes() for p in run_dir.glob("*.jsonl")} == before


def test_a_higher_budget_continues_a_run(tmp_path):
    session.run(search_config(SHORT), tmp_path / "run")
    result = session.run(search_config("budget.evaluations=30"), tmp_path / "run")
    assert result["evaluations"] == 30


@pytest.mark.parametrize("strategy", ["collm", "single_llm", "evoprompting", "iid_llm"])
def test_a_cap_stops_and_a_higher_one_continues_to_the_same_end(strategy, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    session.run(search_config(SHORT, strategy=strategy), whole)
    with pytest.raises(Stopped, match=r"caps\.calls is reached(\n|.)*The same command continues"):
        session.run(search_config(SHORT, "caps.calls=1", strategy=strategy), stopped)
    session.run(search_config(SHORT, strategy=strategy), stopped)
    assert files(stopped) == files(whole)
    assert files(whole)


def test_wall_time_is_capped(tmp_path):
    with pytest.raises(Stopped, match=r"caps\.wall_seconds is reached"):
        session.run(search_config(SHORT, "caps.wall_seconds=0"), tmp_path / "run")
    assert session.run(search_config(SHORT), tmp_path / "run")["evaluations"] == 20


def test_a_setting_that_results_depend_on_may_not_change(tmp_path):
    session.run(search_config(SHORT), tmp_path / "run")
    with pytest.raises(UserError) as refused:
        session.run(search_config(SHORT, "seed=1", "strategy.candidates=3"), tmp_path / "run")
    assert "  seed: 0 -> 1" in str(refused.value)
    assert "  strategy.candidates: 5-10 -> 3" in str(refused.value)


def test_settings_that_change_no_result_may_change(tmp_path):
    gpt4 = {"strategy": "random", "llm": "gpt4"}
    session.run(search_config(SHORT, **gpt4), tmp_path / "run")
    session.run(
        search_config(SHORT, "llm.model.timeout_s=5", "workers=2", **gpt4), tmp_path / "run"
    )


def test_a_second_process_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(UserError, match="in use by another process"),
    ):
        session.run(search_config(SHORT), tmp_path / "run")


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*file/run"):
        session.run(search_config(SHORT), tmp_path / "file" / "run")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, capsys):
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    session.run(search_config(SHORT), whole)
    real, left = os.write, iter(range(9))

    def full(file, data):
        if next(left, None) is None:
            real(file, data[:20])  # what fitted on the disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SystemExit) as end, told_plainly():
        session.run(search_config(SHORT), run_dir)
    assert end.value.code == STOPPED
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    session.run(search_config(SHORT), run_dir)
    assert files(run_dir) == files(whole)
    assert len((run_dir / "evaluations.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize("name", ["archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl"])
def test_a_torn_last_line_is_done_again(name, tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    for run_dir in (whole, torn):
        session.run(search_config(SHORT), run_dir)
    path = torn / name
    path.write_bytes(path.read_bytes()[:-15])
    session.run(search_config(SHORT), torn)
    assert files(torn) == files(whole)


@pytest.mark.parametrize("name", ["archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl"])
def test_a_damaged_file_is_named_with_its_line(name, tmp_path):
    session.run(search_config(SHORT), tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(UserError, match=rf"{re.escape(name)}, line 1 is damaged"):
        session.run(search_config(SHORT), tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluator.table=/nowhere.csv", "/nowhere.csv does not exist"),
        ("searchspace.dataset=cifar11", "searchspace.dataset must be 'cifar10', 'cifar100' or"),
        ("prompting.names=latin", "prompting.names must be"),
        ("budget.evaluations=0", "budget.evaluations must be at least 1"),
        ("limits.macs=few", "limits.macs must be a number or a list"),
        ("+limits.latency_ms=3", "limits.latency_ms: not a cost; there are macs, params"),
        ("caps.usd=-1", "caps.usd must be at least 0"),
        ("+strategy.temperature=1", "strategy.temperature is no setting"),
        ("llm.model.persona=hang", "needs a server"),
        ("constraint_mode=none", "constraint_mode must be 'feedback' or 'prefilter'"),
        ("workers=0", "workers must be at least 1"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_key(override, message, tmp_path):
    def checked_and_run() -> None:
        check(config, SearchSettings)
        session.run(config, tmp_path / "run")

    config = search_config(override)
    with pytest.raises(UserError, match=message):
        checked_and_run()


def test_a_user_error_ends_with_its_message_alone(capsys):
    with pytest.raises(SystemExit) as end, told_plainly():
        raise UserError("this and that is wrong")
    assert end.value.code == WRONG_INPUT
    assert capsys.readouterr().err == "error: this and that is wrong\n"


def test_ctrl_c_stops_and_the_same_command_continues(tmp_path, monkeypatch):
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    session.run(search_config(SHORT), whole)
    real, left = CachedEvaluator.keep, iter(range(9))

    def interrupted(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(CachedEvaluator, "keep", interrupted)
    with pytest.raises(Stopped, match="interrupted"):
        session.run(search_config(SHORT), run_dir)
    monkeypatch.undo()
    session.run(search_config(SHORT), run_dir)
    assert files(run_dir) == files(whole)


@pytest.mark.parametrize("strategy", options("strategy"))
def test_every_strategy_builds_and_searches(strategy, tmp_path):
    of_another_space = strategy in ("evolution_ofa", "evolution_autoformer")
    rates = ["strategy.mutation_rate=0.1"] if of_another_space else []
    config = search_config("budget.evaluations=12", *rates, strategy=strategy)
    assert session.run(config, tmp_path / "run")["evaluations"] == 12


@pytest.mark.skipif(not SHARED.exists(), reason="needs a table with test accuracies (COLLM_SHARED)")
def test_a_search_that_selects_on_test_says_so_everywhere(tmp_path, capsys):
    table = SHARED / "data" / "nasbench201.csv.xz"
    overrides = ["evaluator=tabular_select_on_test", f"evaluator.table={table}", "report=full"]
    result = session.run(search_config(SHORT, *overrides, strategy="random"), tmp_path / "run")
    assert result["selected_on"] == "test_accuracy"
    printed = capsys.readouterr().out
    assert "selected on test_accuracy" in printed
    assert result["best"]["rank"] >= 1
    assert result["best"]["regret"] == pytest.approx(
        result["best"]["optimum"] - result["best"]["metrics"]["test_accuracy"], abs=1e-4
    )
    assert f"{result['best']['rank']:,} of 15,625" in printed
    assert b'"val_accuracy"' not in (tmp_path / "run/archive.jsonl").read_bytes()


def test_a_search_knows_no_test_accuracy(tmp_path):
    session.run(search_config(SHORT), tmp_path / "run")
    for path in (tmp_path / "run").glob("*.jsonl"):
        assert b"test_accuracy" not in path.read_bytes()


def unanswered(config, run_dir):
    """Run a search whose model cannot be asked, so that it ends without any answer."""
    with pytest.raises(UserError, match="NO_SUCH_KEY is not set"):
        session.run(config, run_dir)


def test_a_run_without_any_answer_binds_nobody(tmp_path):
    keyless = "llm.model.api_key_env=NO_SUCH_KEY"
    unanswered(search_config(SHORT, keyless, llm="gpt4"), tmp_path / "run")
    other = ["llm.model.temperature=null", "seed=3", "limits.macs=150e6", "strategy.candidates=3"]
    unanswered(search_config(SHORT, keyless, *other, llm="gpt4"), tmp_path / "run")
    result = session.run(search_config(SHORT, "seed=4"), tmp_path / "run")
    assert result["evaluations"] == 20
    with pytest.raises(UserError, match="seed: 4 -> 5"):
        session.run(search_config(SHORT, "seed=5"), tmp_path / "run")


@pytest.fixture
def served(monkeypatch):
    """Return the settings of a model behind a server that answers."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with serve("sensible", dialect_of(NASBench201())) as url:
        yield [f"llm.model.base_url={url}", SHORT]


@pytest.mark.parametrize(
    "change",
    [
        "llm.model.max_completion_tokens=8192", "llm.model.structured=text", "llm.model.retries=1",
        "llm.model.timeout_s=99", "llm.model.api_key_env=null", "llm.model.max_tokens=77",
    ],
)  # fmt: skip
def test_what_changes_no_recorded_answer_may_change_and_nothing_is_paid_twice(
    change, served, tmp_path
):
    run_dir = tmp_path / "run"
    with pytest.raises(Stopped):  # the Navigator's call of the second round is paid
        session.run(search_config("caps.calls=3", *served, llm="gpt4"), run_dir)
    session.run(search_config(change, *served, llm="gpt4"), run_dir)
    calls = [json.loads(line) for line in (run_dir / "llm_calls.jsonl").read_text().splitlines()]
    assert len({call["purpose"] for call in calls}) == len(calls)
    session.run(search_config(*served, llm="gpt4"), tmp_path / "whole")
    assert files(run_dir) == files(tmp_path / "whole")


def test_another_model_goes_on_only_when_asked_for_and_the_result_names_both(served, tmp_path):
    run_dir = tmp_path / "run"
    with pytest.raises(Stopped):
        session.run(search_config("caps.calls=3", *served, llm="gpt4"), run_dir)
    other = ["llm.model.model=gpt-5", "llm.model.temperature=null", *served]
    with pytest.raises(UserError, match=r"gpt-4.1 -> gpt-5(.|\n)*continue_with=NAME"):
        session.run(search_config(*other, llm="gpt4"), run_dir)
    asked_for = search_config("llm@continue_with=gpt5", *other, llm="gpt4")
    result = session.run(asked_for, run_dir)
    assert result["llm"].startswith("gpt-4.1 (a scripted")
    assert "then gpt-5" in result["llm"]
    assert result["evaluations"] == 20
    assert session.run(asked_for, run_dir)["llm"] == result["llm"]
    with pytest.raises(UserError, match="seed: 0 -> 1"):
        session.run(search_config("llm@continue_with=gpt5", "seed=1", *other, llm="gpt4"), run_dir)


def test_a_run_of_the_older_shape_of_settings_goes_on(tmp_path):
    """Its strategy held each model beside its other settings, under the role's name."""
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    session.run(search_config(SHORT), whole)
    with pytest.raises(Stopped):
        session.run(search_config(SHORT, "caps.calls=3"), run_dir)
    config = OmegaConf.load(run_dir / "config.yaml")
    strategy = OmegaConf.to_container(config.strategy)
    config.strategy = {**strategy.pop("models"), **strategy}
    assert "navigator" in config.strategy
    OmegaConf.save(config, run_dir / "config.yaml")
    session.run(search_config(SHORT), run_dir)
    assert files(run_dir) == files(whole)
