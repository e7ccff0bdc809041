"""How long a whole search takes when no model has to be waited for: what our own code costs.

    python benchmarks/search_speed.py

A CoLLM-NAS run of 100 evaluations is recorded once and then replayed as the command that a user
types, interpreter start included; `--help` is timed as well. The promises, checked by the exit
status: a replay in 2 s, at most 2 ms of our own code per evaluation, help in 1 s (medians).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATS = 7
REPLAY_S, HELP_S, OVERHEAD_MS = 2.0, 1.0, 2.0


def seconds(*arguments: str) -> float:
    """Run `search.py` in a process of its own; return the wall time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    start = time.perf_counter()
    command = [sys.executable, "search.py", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "recorded"
        seconds("llm=scripted", f"run_dir={recorded}")
        replays, loops = [], []
        for i in range(REPEATS):
            again = Path(folder) / str(i)
            replays.append(seconds(f"replay={recorded}", f"run_dir={again}"))
            same = (again / "archive.jsonl").read_bytes() == (
                recorded / "archive.jsonl"
            ).read_bytes()
            assert same, "a replay must give the same archive"
            loops.append(json.loads((again / "result.json").read_text())["seconds"]["this visit"])
    helps = [seconds("--help") for _ in range(REPEATS)]
    overhead = [1000 * loop / 100 for loop in loops]
    kept = True
    for name, values, promised, unit in [
        ("replay of 100 evaluations", replays, REPLAY_S, "s"),
        ("our own code per evaluation", overhead, OVERHEAD_MS, "ms"),
        ("--help", helps, HELP_S, "s"),
    ]:
        median = statistics.median(values)
        kept &= median <= promised
        print(
            f"{name:30} {median:6.2f} {unit:2} (min {min(values):.2f}, max {max(values):.2f}; "
            f"promised {promised:g})"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
