"""How long a table of NAS-Bench-201 takes to load, and how much memory.

    python benchmarks/table_loading.py [TABLE ...]

Each table is loaded in fresh processes, the embedded one always; files named on the command line
besides. The promise, checked by the exit status, is 0.3 s and 150 MB for the embedded table: the
median of the loads and the growth of the process's peak memory, both counted from before the
import of the evaluator.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

LIMIT_SECONDS, LIMIT_MB = 0.3, 150
REPEATS = 7
SRC = str(Path(__file__).parents[1] / "src")

CHILD = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB on Linux
memory, start = peak(), time.perf_counter()
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.spaces.nasbench201.space import NASBench201
imported = time.perf_counter()
evaluator = TabularEvaluator(NASBench201(), sys.argv[1] or None)
loaded = time.perf_counter()
arch = NASBench201().decode({"cell": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"})
for _ in range(10_000):
    evaluator.evaluate(arch)
looked_up = time.perf_counter()
evaluator.rank(arch)
ranked = time.perf_counter()
print(json.dumps({
    "import_s": imported - start, "load_s": loaded - imported, "growth_mb": peak() - memory,
    "look_up_us": (looked_up - loaded) * 100, "rank_ms": (ranked - looked_up) * 1000,
}))
"""


def measure(table: str) -> dict[str, float]:
    command = [sys.executable, "-c", CHILD, table, SRC]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(REPEATS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> int:
    embedded = measure("")
    for name, figures in [("embedded", embedded), *((t, measure(t)) for t in sys.argv[1:])]:
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    seconds = embedded["import_s"] + embedded["load_s"]
    kept = seconds <= LIMIT_SECONDS and embedded["growth_mb"] <= LIMIT_MB
    print(
        f"embedded, import and load: {seconds:.3f} s of {LIMIT_SECONDS}, "
        f"{embedded['growth_mb']:.0f} MB of {LIMIT_MB}: {'kept' if kept else 'BROKEN'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
