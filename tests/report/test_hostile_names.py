"""Names that others chose (models, directories) are shown by every report, and do nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from collm_nas.cli import session
from collm_nas.cli.estimate import print_estimate
from collm_nas.config.quoting import quoted, shell_quoted
from collm_nas.core.printable import one_line, printable, say, sendable
from collm_nas.fake_llm.server import serve
from collm_nas.prompting.dialect import dialect_of
from collm_nas.report.gathering import gather
from collm_nas.report.next_command import next_command
from collm_nas.spaces.nasbench201.space import NASBench201
from tests.conftest import ROOT, search_config

NAMES = {
    "terminal": "gpt \x1b[31mred\x1b]0;title\x07 \x9b2J\r",
    "lines": "gpt\nnot counted:\n  all others",
    "direction": "gpt \u202egnp.exe \u2066",
    "markup": "gpt [bold red]x[/] [link=file:///]y[/link] :bomb:",
    "formula": "=HYPERLINK(0)",
    "mathtext": "gpt $\\frac{$",
    "half": "gpt \udcff",
}


def shows_only_text(out: str) -> bool:
    out.encode()
    return all(line.isprintable() for line in out.split("\n"))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return NAMES[request.param]


@pytest.fixture
def run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A search whose model and directory have such a name."""
    run_dir = tmp_path / "runs" / name.replace("/", "_")
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    cfg = search_config("budget.evaluations=4", strategy="single_llm", llm="gpt4")
    # halves of characters and control characters are refused there
    cfg.strategy.models.llm.model = sendable(name) if not set(name) & set("\x1b\n") else "gpt"
    cfg.report = "full"
    with serve("sensible", dialect_of(NASBench201())) as url:
        cfg.strategy.models.llm.base_url = url
        session.run(cfg, run_dir)
    told = capsys.readouterr()
    assert shows_only_text(told.out + told.err)
    assert one_line(name).split()[0] in told.out
    return run_dir


def test_every_report_of_a_run_is_text(run, name, tmp_path):
    broken = run.parent / "broken [red]\x1b[0m"
    broken.mkdir()
    (broken / "archive.jsonl").write_text("{\x1b[31m}\n")
    command = [sys.executable, "compare.py", f"runs=['{run.parent}']", f"picture={tmp_path}/x.png"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert shows_only_text(told)
    assert one_line(name).split()[0] in told
    assert "broken [red]\\x1b[0m" in told
    if "[bold" in name:
        assert "[boldred]x[/]" in without_frame(told)
        assert "[link=file:///]y[/link]:bomb:" in without_frame(told)


def without_frame(table: str) -> str:
    """Return the text in the first column, without its line breaks."""
    return "".join(
        line.split("│")[1].replace(" ", "") for line in table.splitlines() if "│" in line
    )


def test_the_best_run_is_evaluated_by_the_command_as_it_is_pasted(run, tmp_path):
    (found,) = gather([os.fspath(run.parent)]).comparisons
    command = next_command("evaluate.py", run=found.best_run().directory)
    assert shows_only_text(command)
    script = command.removeprefix("next: python evaluate.py ")
    given = subprocess.run(
        ["bash", "-c", f"printf %s {script}"], capture_output=True, check=True
    ).stdout
    override = OverridesParser.create().parse_override(os.fsdecode(given))
    assert override.value() == os.fspath(run)


def test_an_estimate_is_text(name, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    cfg = search_config("budget.evaluations=4", strategy="single_llm", llm="gpt4")
    cfg.strategy.models.llm.model = name
    cfg.strategy.models.llm.context = 1_000  # too small, which a warning says
    print_estimate(cfg)
    told = capsys.readouterr()
    assert shows_only_text(told.out)
    assert shows_only_text(told.err)


@pytest.mark.parametrize(
    "text", [*NAMES.values(), "it's", 'qu"ote', "tr\\ail\\", "a$b`c`", "plain"]
)
def test_what_is_quoted_arrives_as_it_was(text):
    assert OverridesParser.create().parse_override(f"run={quoted(text)}").value() == text
    typed = shell_quoted(text)
    assert shows_only_text(typed)
    given = subprocess.run(["bash", "-c", f"printf %s {typed}"], capture_output=True, check=True)
    assert os.fsdecode(given.stdout) == text
    if text.isprintable():
        assert shlex.split(typed) == [text]


def test_what_is_said_is_printable(capsys):
    say("a\x1b", Path("b\udcff"))
    assert capsys.readouterr().out == "a\\x1b\nb\\udcff\n"
    assert one_line(" a\n\x0b b ") == "a b"
    assert printable("a\nb") == "a\nb"
    assert OmegaConf.create({"a": "\x1b"}).a == "\x1b"
