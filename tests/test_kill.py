"""`kill -9` at random moments, then the same command: nothing completed is paid twice.

The real command runs in a process of its own, is killed after a random time, and is repeated until
it ends. Its archive must equal that of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT

KILLS = 9  # per strategy: 54 in all
STRATEGIES = [
    "collm",
    "single_llm",
    "random",
    "regularized_evolution",
    "local_search",
    "reinforce",
]


def command(strategy: str, run_dir: Path) -> list[str]:
    settings = ["llm=scripted", f"strategy={strategy}", "budget.evaluations=40", "seed=3"]
    return [sys.executable, "search.py", *settings, f"run_dir={run_dir}"]


def start(strategy: str, run_dir: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(strategy, run_dir),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(strategy: str, run_dir: Path) -> float:
    """Run to the end; return the seconds that it took."""
    began = time.monotonic()
    process = start(strategy, run_dir)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - began


def paid(run_dir: Path) -> dict[str, bytes]:
    """Return the whole lines of the files that hold what was paid for."""
    files = [run_dir / name for name in ("llm_calls.jsonl", "evaluations.jsonl")]
    return {f.name: f.read_bytes().rpartition(b"\n")[0] for f in files if f.exists()}


def repeats(content: bytes, field: str) -> int:
    seen = Counter(str(json.loads(line)[field]) for line in content.splitlines())
    return sum(seen.values()) - len(seen)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_killed_search_continues_as_if_nothing_had_happened(strategy, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = finish(strategy, whole)
    rng = random.Random(strategy)
    before: dict[str, bytes] = {}
    for _ in range(KILLS):
        process = start(strategy, killed)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        after = paid(killed)
        assert all(after[name].startswith(content) for name, content in before.items())
        before = after
    finish(strategy, killed)

    assert (killed / "archive.jsonl").read_bytes() == (whole / "archive.jsonl").read_bytes()
    bought = paid(killed)
    assert all(bought[name].startswith(content) for name, content in before.items())
    assert bought["evaluations.jsonl"].count(b"\n") + 1 == 40
    assert repeats(bought["evaluations.jsonl"], "arch") == 0
    if calls := bought.get("llm_calls.jsonl"):
        assert repeats(calls, "key") == 0
        assert calls.count(b"\n") == paid(whole)["llm_calls.jsonl"].count(b"\n")
