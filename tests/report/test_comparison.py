"""Which runs are compared, what their arms are called, and what is said of the numbers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from math import isnan
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.cli.compose import recorded
from collm_nas.config.run import UserError
from collm_nas.report.comparison import compare, draw, print_comparison, print_notes
from collm_nas.report.gathering import Comparison, Gathered, gather
from collm_nas.report.next_command import next_command
from tests.conftest import ROOT, load, search_config

NAMES = [f"choices.{name}=x" for name in ("searchspace", "strategy", "llm", "recipe")]


@pytest.fixture
def search(tmp_path):
    """Return a function that searches into a directory of any name."""

    def run(name: str, *settings: str, strategy: str = "random", evaluations: int = 12) -> Path:
        cfg = search_config(f"budget.evaluations={evaluations}", *settings, strategy=strategy)
        session.run(cfg, tmp_path / name)
        return tmp_path / name

    return run


def gathered(folder: Path, evaluations: int | None = None) -> Gathered:
    return gather([str(folder)], evaluations)


def labels(found: Comparison) -> dict[str, int]:
    return {arm.label: len(arm.runs) for arm in found.arms}


def reasons(found: Gathered) -> dict[str, str]:
    return {left.directory.name: left.reason for left in found.left_out}


def alone(found: Gathered) -> Comparison:
    (comparison,) = found.comparisons
    return comparison


def content(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_arms_are_configurations_whatever_their_directories_are_called(search, tmp_path):
    for strategy in ("random", "local_search"):
        for seed in (0, 1):
            search(f"{strategy}/seed{seed}", f"seed={seed}", strategy=strategy)
    assert labels(alone(gathered(tmp_path))) == {"local_search": 2, "random": 2}


def test_personas_and_settings_are_arms_of_their_own(search, tmp_path):
    search("a-seed0", "llm.model.persona=sensible", strategy="collm")
    search("a-seed1", "llm.model.persona=random", "seed=1", strategy="collm")
    search("a-seed2", "strategy.candidates=20", "seed=2", strategy="collm")
    search("a-seed3", "constraint_mode=prefilter", "seed=3", strategy="collm")
    found = labels(alone(gathered(tmp_path)))
    assert len(found) == 4
    assert sum("scripted:random" in label and "NOT a language model" in label for label in found)
    assert sum("candidates 20" in label for label in found) == 1
    assert sum("constraint mode prefilter" in label for label in found) == 1


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("searchspace.dataset=cifar100", "searchspace.dataset"),
        ("limits.macs=150e6", "limits.macs"),
        ("limits.macs=[50e6,150e6]", "limits.macs"),
        ("evaluator.seed=777", "protocol"),
        ("pareto={macs: 2e8}", "pareto.macs"),
    ],
)
def test_other_problems_are_separated_with_the_reason(setting, key, search, tmp_path):
    search("one-seed0")
    search("one-seed1", setting, "seed=1")
    found = gathered(tmp_path)
    assert [labels(c) for c in found.comparisons] == [{"random": 1}] * 2
    assert len({c.problem for c in found.comparisons}) == 2
    assert key in found.separated


def test_how_a_space_is_told_is_no_other_problem(search, tmp_path):
    search("plain", strategy="collm")
    search("hidden", "prompting.names=opaque", "prompting.order_seed=3", strategy="collm")
    found = labels(alone(gathered(tmp_path)))
    assert sum("names opaque" in label for label in found) == 1
    assert len(found) == 2


def test_copies_replays_and_second_runs_of_a_seed_count_once(search, tmp_path):
    original = search("original", strategy="collm")
    shutil.copytree(original, tmp_path / "copy")
    search("shorter", strategy="collm", evaluations=8)
    replay = load("search", f"replay={original}", "report=line", *NAMES)
    session.run(recorded(replay), tmp_path / "replayed")
    found = gathered(tmp_path)
    assert list(labels(alone(found)).values()) == [1]
    told = reasons(found)
    assert len(told) == 3
    assert "a copy" in told["shorter"]
    assert "a replay of" in told["replayed"]
    assert {"copy", "original"} & {*told}


def test_other_answers_to_the_same_seed_are_told(search, tmp_path):
    one, other = search("one"), search("other", "seed=1")
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("seed: 1", "seed: 0"))
    assert reasons(gathered(tmp_path))[other.name].startswith("the same settings and seed as")
    assert one.name in reasons(gathered(tmp_path))[other.name]


def test_the_cut_names_the_shortest_run_and_can_be_chosen(search, tmp_path):
    search("short", evaluations=5)
    search("long", "seed=1", evaluations=12)
    found = alone(gathered(tmp_path))
    assert found.evaluations == 5
    assert f"shortest finished run, {tmp_path / 'short'}" in found.cut
    later = gathered(tmp_path, evaluations=10)
    assert (alone(later).evaluations, labels(alone(later))) == (10, {"random": 1})
    assert "5 of 10 evaluations" in reasons(later)["short"]


def test_an_unfinished_run_is_shown_and_stops_nothing(search, tmp_path, capsys):
    search("done")
    running = search("running", "seed=1", evaluations=30)
    (running / "result.json").unlink()
    lines = (running / "archive.jsonl").read_bytes().splitlines(keepends=True)
    first = json.loads(lines[0])
    assert len(first["records"]) < 12
    (running / "archive.jsonl").write_bytes(lines[0] + lines[1][:20])
    begun = search("begun", "seed=2")
    (begun / "result.json").unlink()
    (begun / "archive.jsonl").unlink()
    before = content(tmp_path)
    found = gathered(tmp_path)
    rows = compare(alone(found))
    print_comparison(alone(found), rows)
    print_notes(found)
    assert content(tmp_path) == before, "reading leaves no trace"
    assert alone(found).evaluations == 12
    told = capsys.readouterr().out
    assert f"{running}: random: 10 of 12 evaluations" in told
    assert "it runs, or was killed" in told
    assert f"{begun}: " in told
    assert [run.directory for _, run in alone(found).short] == [running]


def test_what_is_long_enough_counts_and_is_marked(search, tmp_path, capsys):
    search("done")
    running = search("running", "seed=1", evaluations=30)
    (running / "result.json").unlink()
    found = alone(gathered(tmp_path))
    print_comparison(found, compare(found))
    assert "2 (1 unfinished)" in capsys.readouterr().out


def test_runs_that_cannot_be_read_are_named(search, tmp_path, capsys):
    search("good")
    bad = search("bad", "seed=1")
    (bad / "archive.jsonl").write_text("[]\n")
    lost = search("lost", "seed=2")
    (lost / "config.yaml").unlink()
    found = gathered(tmp_path)
    assert labels(alone(found)) == {"random": 1}
    assert "archive.jsonl, line 1" in reasons(found)["bad"]
    assert "config.yaml missing" in reasons(found)["lost"]


def test_globs_and_names_with_brackets_are_found(search, tmp_path):
    search("x/a[1]")
    search("x/b", "seed=1")
    search("y/c", "seed=2")
    assert sum(labels(alone(gather([f"{tmp_path}/*/[bc]"]))).values()) == 2
    assert sum(labels(alone(gather([f"{tmp_path}/x/a[1]", f"{tmp_path}/x"]))).values()) == 2
    with pytest.raises(UserError, match=r"no runs in .*/z\*"):
        gather([f"{tmp_path}/x", f"{tmp_path}/z*"])


def test_few_runs_have_a_wide_interval_and_are_not_told_apart(search, tmp_path, capsys):
    for strategy in ("random", "local_search"):
        for seed in range(3):
            search(f"{strategy}{seed}", f"seed={seed}", strategy=strategy)
    search("single", strategy="regularized_evolution")
    found = alone(gathered(tmp_path))
    rows = compare(found, lambda arch: 50.0 + len(str(arch)) % 7)
    assert sorted((row.mean for row in rows), reverse=True) == [row.mean for row in rows]
    for row in rows:
        if len(row.values) == 3:
            assert row.low < min(row.values), "three runs tell little"
        else:
            assert isnan(row.low)
        assert not isnan(row.test)
    print_comparison(found, rows)
    told = " ".join(capsys.readouterr().out.split())
    assert "These 3 arms cannot be told apart" in told
    assert "one run says nothing" in told


def test_arms_of_many_clear_runs_are_told_apart(search, tmp_path):
    for seed in range(6):
        search(f"r{seed}", f"seed={seed}", evaluations=3)
        search(f"c{seed}", f"seed={seed}", strategy="collm", evaluations=30)
    rows = compare(alone(gathered(tmp_path, evaluations=3)))
    assert rows[0].arm.label.startswith("collm")
    assert rows[1].apart


def test_where_nothing_is_within_the_limits_no_mean_is_made_up(search, tmp_path, capsys):
    search("a", "limits.macs=8e6", "llm.model.persona=random", strategy="collm")
    found = alone(gathered(tmp_path))
    rows = compare(found)
    print_comparison(found, rows)
    nothing = isnan(rows[0].mean)
    assert nothing == (
        "found nothing within the limits" in " ".join(capsys.readouterr().out.split())
    )
    assert draw([found], tmp_path / "picture.png").exists()


def test_recorded_runs_of_other_versions_are_compared(tmp_path):
    found = gather([os.fspath(ROOT / "examples/recorded")])
    assert {next(iter(labels(c))) for c in found.comparisons} == {"collm [unnamed-llm]"}


@pytest.mark.parametrize(
    "value", ["runs/mine", "a=b,c:d", 'qu"ote', "tr\\ail\\", 'x\\"y', "it's", "{a}[b]", " lead"]
)
def test_the_next_command_can_be_pasted(value):
    import shlex

    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed = shlex.split(next_command("evaluate.py", "mode=export", run=value))
    assert typed[:3] == ["next:", "python", "evaluate.py"]
    assert typed[4] == "mode=export"
    assert OverridesParser.create().parse_override(typed[3]).value() == value


def test_a_picture_has_a_panel_for_each_problem(search, tmp_path, monkeypatch):
    search("one")
    search("two", "searchspace.dataset=cifar100")
    found: Sequence[Comparison] = gathered(tmp_path).comparisons
    assert draw(found, tmp_path / "deep" / "picture.png").read_bytes().startswith(b"\x89PNG")
