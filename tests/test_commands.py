"""The commands as a user types them: real processes, real exit codes, real messages."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from collm_nas.fake_llm.server import serve
from collm_nas.prompting.dialect import dialect_of
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import CONF, ROOT

SECRET = "sk-this-must-stay-secret"


def run(
    *arguments: str, limit: float = 180, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


@pytest.mark.parametrize("script", ["train_supernet", "search", "evaluate", "compare"])
def test_help_lists_the_groups_without_waiting_for_large_packages(script):
    shown = run("-X", "importtime", f"{script}.py", "--help")
    assert shown.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert not {"torch", "numpy", "openai", "rich", "matplotlib", "pydantic"} & imported
    assert f"Usage: python {script}.py" in shown.stdout
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"hydra"}
    listed = shown.stdout.partition("== Groups")[2].partition("== Settings")[0]
    assert {line.partition(": ")[0] for line in listed.splitlines() if ": " in line} == groups


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("budgt.evaluations=5", "did you mean budget.evaluations"),
        ("strategy.candidats=5", "did you mean strategy.candidates"),
        ("serchspace=nasbench201", "did you mean searchspace"),
        ("strategy=colm", "collm"),
    ],
)
def test_a_mistyped_override_names_the_near_matches(typed, hint):
    refused = run("search.py", typed)
    assert refused.returncode == 1
    assert hint in refused.stderr + refused.stdout


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.6, 3.2])
def test_ctrl_c_ends_in_a_line_while_a_command_starts(seconds, tmp_path):
    command = [sys.executable, "search.py", "budget.evaluations=15000", f"run_dir={tmp_path}/run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    started = subprocess.Popen(
        [*command, "strategy=random", "report=line"],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(seconds)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode in (3, 130), told
    assert told.count("interrupted") == 1
    assert len(told.splitlines()) <= 2


def test_a_missing_key_ends_with_the_ways_out(tmp_path):
    stopped = run("search.py", "llm=gpt4", f"run_dir={tmp_path}/run")
    assert stopped.returncode == 2
    assert "OPENAI_API_KEY" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_all_that_a_search_lacks_is_told_at_once(tmp_path):
    lacking = {"IMAGENET": f"{tmp_path}/imagenet", "COLLM_CACHE": f"{tmp_path}/cache"}
    told = run(
        "search.py", "searchspace=shufflenet", "llm=gpt4", f"run_dir={tmp_path}/run", **lacking
    )
    assert told.returncode == 2
    for part in ("OPENAI_API_KEY", "checkpoint-150000.pth.tar", f"not in {tmp_path}/imagenet"):
        assert part in told.stderr
    assert "Open the page in a browser" in told.stderr
    assert "experiment=digits_demo" in told.stderr
    assert "again to continue" not in told.stderr


def test_all_that_a_training_lacks_is_told_at_once(tmp_path):
    lacking = {
        f"data.root={tmp_path}/images": f"ImageNet is not in {tmp_path}/images: there is no train",
        f"+recipe.phases.0.init_from={tmp_path}/w.pth": "recipe.phases[0].init_from must be offic",
        "trainer=gpu": "trainer: ",
        "logger=wandb": "logger=wandb: there is no login. Log in (wandb login), or ",
    }
    settings = ["searchspace=mobilenet", f"run_dir={tmp_path}/run", *lacking]
    nobody = {"HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": "", "COLLM_CACHE": str(tmp_path)}
    refused = run("train_supernet.py", *settings, **nobody)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    for told in lacking.values():
        assert told in refused.stderr
    assert not (tmp_path / "run" / "phases").exists()


def test_an_evaluation_checks_the_settings_of_its_mode():
    typed = ["arch=spos_readme", "searchspace=shufflenet", "data.root=x"]
    wrong = ["recipe.batch_size=abc", "evaluator.changes.images=-1"]
    refused = run("evaluate.py", *typed, "mode=retrain", "recipe=spos_retrain", *wrong)
    assert refused.returncode == 2
    for key in ("recipe.batch_size", "evaluator.changes.images"):
        assert f"{key} must be" in refused.stderr


def test_a_space_without_an_evaluator_is_told_the_ways_out(tmp_path):
    own = ["searchspace=shufflenet_tiny", "evaluator=tabular", "strategy=random"]
    told = run("search.py", *own, f"run_dir={tmp_path}/run")
    assert told.returncode == 2
    assert "evaluator=supernet" in told.stderr
    assert "override /evaluator@_global_.evaluator: supernet" in told.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["search.py", "llm=endpoint"], "COLLM_LLM_MODEL"),
        (["search.py", "llm=replay"], "llm.model.run is not set"),
        (["search.py", "llm=gguf"], "llm.model.path is not set"),
        (["evaluate.py"], "run"),
        (["compare.py", "runs=[/nowhere]"], "no runs in /nowhere"),
    ],
)
def test_what_is_missing_is_named_without_a_traceback(command, message, tmp_path):
    where = [f"run_dir={tmp_path}/run"] if command[0] == "search.py" else []
    refused = run(*command, *where)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_sweep_leaves_one_directory_a_run_and_they_can_be_compared(tmp_path):
    where = f"run_dir={tmp_path}/${{choices.strategy}}-seed${{seed}}"
    sweep = ["-m", "strategy=collm,random", "seed=0,1", "llm=scripted", "budget.evaluations=15"]
    done = run("search.py", *sweep, "report=line", where, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    runs = {path.parent.name for path in tmp_path.glob("*/archive.jsonl")}
    assert runs == {"collm-seed0", "collm-seed1", "random-seed0", "random-seed1"}

    picture = tmp_path / "comparison.png"
    compared = run("compare.py", f"runs=[{tmp_path}]", f"picture={picture}")
    assert compared.returncode == 0, compared.stderr
    assert "after 15 evaluations each" in compared.stdout
    assert "NOT" in compared.stdout, "the stand-in is labelled here, too"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_sweep_goes_on_after_a_job_that_fails(tmp_path):
    where = f"run_dir={tmp_path}/${{choices.strategy}}-seed${{seed}}"
    sweep = ["-m", "strategy=collm,random", "seed=0,1", "llm=gpt4", "budget.evaluations=5"]
    done = run("search.py", *sweep, "report=line", where)
    assert done.returncode == 4
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed")]
    assert [" ".join(line.split()[4:6]) for line in failed] == [
        "strategy=collm seed=0",
        "strategy=collm seed=1",
    ]
    assert "2 of 4 jobs are done" in done.stdout
    arguments = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: "))
    assert arguments[:2] == ["python", "compare.py"]
    compared = run(*arguments[1:], f"picture={tmp_path}/comparison.png")
    assert compared.returncode == 0, compared.stderr


def test_a_recorded_run_replays_to_the_byte(tmp_path):
    original, again = tmp_path / "original", tmp_path / "again"
    settings = ["llm=scripted", "budget.evaluations=25", "searchspace.dataset=cifar100", "seed=5"]
    assert run("search.py", *settings, f"run_dir={original}").returncode == 0
    replayed = run("search.py", f"replay={original}", f"run_dir={again}")
    assert replayed.returncode == 0, replayed.stderr
    assert "replay of scripted:sensible" in replayed.stdout
    assert (again / "archive.jsonl").read_bytes() == (original / "archive.jsonl").read_bytes()


def test_a_replay_of_nothing_is_refused(tmp_path):
    refused = run("search.py", f"replay={tmp_path}")
    assert refused.returncode == 2
    assert "no recorded run is there" in refused.stderr


def test_an_estimate_spends_nothing(tmp_path):
    estimated = run("search.py", "llm=gpt4", "estimate=true", f"run_dir={tmp_path}/run")
    assert estimated.returncode == 0, estimated.stderr
    assert "gpt-4.1" in estimated.stdout
    assert not (tmp_path / "run").exists()
    assert run("search.py", "strategy=random", "estimate=true").returncode == 2


def test_evaluate_unseals_only_with_a_table_that_has_test_accuracies(tmp_path):
    run_dir = tmp_path / "run"
    assert (
        run("search.py", "strategy=random", "budget.evaluations=5", f"run_dir={run_dir}").returncode
        == 0
    )
    refused = run("evaluate.py", f"run={run_dir}")
    assert refused.returncode == 2
    assert "no test accuracies" in refused.stderr
    assert "is no run" in run("evaluate.py", f"run={tmp_path}").stderr


def test_evaluate_takes_the_settings_of_the_run_and_what_is_typed_wins(tmp_path):
    import torch

    from collm_nas.config.run import build
    from collm_nas.spaces.checkpoint import save_supernet
    from collm_nas.spaces.supernet import build_supernet
    from tests.conftest import load

    space = build(load("search", "searchspace=shufflenet_tiny").searchspace)
    torch.manual_seed(0)
    save_supernet(tmp_path / "supernet.safetensors", build_supernet(space), space)
    quick = ["evaluator.changes.bn_images=50", "evaluator.changes.images=60"]
    settings = ["searchspace=shufflenet_tiny", f"supernet={tmp_path}/supernet.safetensors"]
    cache = {"COLLM_CACHE": str(tmp_path / "cache")}
    searched = run(
        "search.py", *settings, *quick, "strategy=random", "budget.evaluations=2",
        f"run_dir={tmp_path}/run", **cache,
    )  # fmt: skip
    assert searched.returncode == 0, searched.stderr
    here = [f"run={tmp_path}/run", "controls=false"]
    own = run("evaluate.py", *here, **cache)
    assert own.returncode == 0, own.stderr
    assert "calibrated with 50 images" in own.stdout
    typed = run("evaluate.py", *here, "evaluator.changes.bn_images=70", **cache)
    assert "calibrated with 70 images" in typed.stdout
    missing = run("evaluate.py", *here, "supernet=/nowhere", **cache)
    assert missing.returncode == 2
    assert "/nowhere does not exist" in missing.stderr
    entries = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert len({entry["protocol"] for entry in entries}) == 2


def test_keys_reach_no_file_and_no_output(tmp_path):
    with serve("sensible", dialect_of(NASBench201())) as url:
        settings = ["llm=gpt4", "llm.model.model=scripted:sensible", "budget.evaluations=10"]
        done = run(
            "search.py", *settings, f"run_dir={tmp_path}/run",
            OPENAI_API_KEY=SECRET, OPENAI_BASE_URL=url,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "NOT a language" in done.stdout, "a stand-in is labelled behind any address"
    assert SECRET not in done.stdout + done.stderr
    for path in (tmp_path / "run").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path


def test_rounds_are_logged_as_csv(tmp_path):
    run_dir = tmp_path / "run"
    run("search.py", "llm=scripted", "budget.evaluations=15", f"run_dir={run_dir}")
    with (run_dir / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["evaluations"] == "15"
    assert [int(row["round"]) for row in rows] == list(range(len(rows)))


@pytest.mark.slow
def test_wandb_offline_keeps_its_run_when_a_search_goes_on(tmp_path):
    run_dir = tmp_path / "run"
    settings = ["llm=scripted", "logger=wandb", f"run_dir={run_dir}"]
    for evaluations in (10, 20):
        done = run(
            "search.py", *settings, f"budget.evaluations={evaluations}", WANDB_MODE="offline"
        )
        assert done.returncode == 0, done.stderr
    ids = {path.name.rpartition("-")[2] for path in run_dir.glob("wandb/offline-run-*")}
    assert ids == {(run_dir / "wandb_id").read_text()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "persona",
    ["sensible", "malformed_json", "empty", "refusal", "rate_limit", "hang", "flaky"],
)
def test_every_persona_ends_in_a_finished_search_or_a_resumable_stop(persona, tmp_path):
    run_dir = tmp_path / "run"
    with serve(persona, dialect_of(NASBench201())) as url:
        server = {"COLLM_LLM_BASE_URL": url, "COLLM_LLM_MODEL": f"scripted:{persona}"}
        limits = ["budget.evaluations=15", "budget.idle_rounds=3"]
        patience = ["llm.model.timeout_s=1", "llm.model.retries=2"]
        done = run("search.py", "llm=endpoint", *limits, *patience, f"run_dir={run_dir}", **server)
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode == 0:
        result = json.loads((run_dir / "result.json").read_text())
        assert result["finished"]
        assert result["evaluations"] == 15 or "stuck" in result["stopped"]
    elif done.returncode == 1:
        assert "the model wrote not one architecture" in done.stderr, done.stderr
    else:
        assert done.returncode == 3
        assert done.stderr.splitlines()[-1].startswith("next: python search.py ")
    archive = run_dir / "archive.jsonl"
    for line in archive.read_text().splitlines() if archive.exists() else []:
        for record in json.loads(line)["records"]:
            assert record["verdict"] != "feasible" or len(record["arch"]["op"]) == 6
