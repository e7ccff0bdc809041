"""Recorded runs of a large language model, by an older version, replay to equal records."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SHARED

RECORDED = ROOT / "examples" / "recorded"
PREDICTOR = SHARED / "data" / "ofa_mbv3" / "official" / "acc_predictor.pth"


def rounds(run: Path) -> list[dict]:
    """Read a run's archive without what only today's version writes: checksums, the header."""
    lines = (run / "archive.jsonl").read_text().splitlines()
    own = {"index", "note", "records"}
    return [{k: v for k, v in json.loads(line).items() if k in own} for line in lines]


@pytest.mark.parametrize("run", sorted(RECORDED.glob("*/")), ids=lambda run: run.name)
def test_a_recorded_run_replays_to_equal_records(run, tmp_path):
    if run.name.startswith("mobilenet"):
        if not PREDICTOR.exists():
            pytest.skip(f"OFA's accuracy predictor is not at {PREDICTOR}: set COLLM_SHARED")
        shutil.copy(PREDICTOR, tmp_path)
    done = subprocess.run(
        [sys.executable, ROOT / "search.py", f"replay={run}", "run_dir=run", "report=line"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert len(rounds(run)) > 5
    assert rounds(tmp_path / "run") == rounds(run)
