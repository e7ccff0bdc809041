"""Strategies side by side on the subnets of OFA MobileNetV3 (width 1.0) within 300M multiply-adds.

    python benchmarks/ofa_predictor.py PREDICTOR [strategy …] --seeds 10

A candidate counts what OFA's accuracy predictor expects (see docs/predictor.md), so a search of
250 evaluations takes seconds. `collm` is run with the scripted persona: no language model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from hydra import compose, initialize_config_dir

from collm_nas.cli.session import build_parts
from collm_nas.core.archive import Record
from collm_nas.core.search import run_search

ROOT = Path(__file__).parents[1]
STRATEGIES = ("random", "local_search", "evolution_ofa", "regularized_evolution", "gp", "collm")


def search(strategy: str, predictor: str, evaluations: int, seed: int) -> tuple[Record, float]:
    """Return the best candidate and the seconds that the search took."""
    overrides = [
        "experiment=ofa_predictor_300m",
        f"evaluator.file={predictor}",
        f"strategy={strategy}",
        "llm=scripted",
        f"seed={seed}",
        f"budget.evaluations={evaluations}",
    ]
    if strategy == "collm":
        overrides.append("strategy.candidates=10-20")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("search", overrides)
    with tempfile.TemporaryDirectory() as folder:
        parts = build_parts(cfg, Path(folder))
        start = time.perf_counter()
        run_search(parts.problem, parts.strategy, parts.evaluator, parts.archive, parts.budget)
        seconds = time.perf_counter() - start
    best = parts.archive.best()
    assert best is not None
    return best, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("predictor", help="acc_predictor.pth")
    parser.add_argument("strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--evaluations", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    print(f"{'strategy':22} predicted (%)    best    MACs (M)  seconds")
    with ProcessPoolExecutor(args.processes) as pool:
        for strategy in args.strategies:
            same = (repeat(strategy), repeat(args.predictor), repeat(args.evaluations))
            found = list(pool.map(search, *same, range(args.seeds)))
            values = [best.metrics["predicted_accuracy"] for best, _ in found]
            macs = statistics.mean(best.metrics["macs"] for best, _ in found) / 1e6
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            seconds = statistics.mean(seconds for _, seconds in found)
            print(
                f"{strategy:22} {statistics.mean(values):.3f} ± {spread:.3f}   {max(values):.3f} "
                f"  {macs:8.1f}  {seconds:7.1f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
