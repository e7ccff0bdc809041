"""Hypervolume of the fronts that strategies find on NAS-Bench-201, against the true front.

    COLLM_SHARED=../shared python benchmarks/pareto.py --seeds 20

Accuracy on the validation split of CIFAR-10 against a measured latency, the reference point at
80 percent and `--worst`. The scripted stand-in for a language model reads accuracies alone: its row
shows that the loop runs, and says nothing of language models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from hydra import compose, initialize_config_dir  # noqa: E402

from collm_nas.cli import session  # noqa: E402
from collm_nas.core.archive import Archive, Record, Round  # noqa: E402
from collm_nas.core.problem import Problem  # noqa: E402
from collm_nas.evaluator.table import TabularEvaluator  # noqa: E402
from collm_nas.report import pareto  # noqa: E402
from collm_nas.spaces.nasbench201.space import NASBench201  # noqa: E402
from collm_nas.spaces.nasbench201.table_costs import TableCosts  # noqa: E402

SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))
TABLE = SHARED / "data/nasbench201_latency.csv.xz"
STRATEGIES = ("random", "nsga2", "collm")
ACCURACY = 80.0  # percent, of the reference point


def true_front(problem: Problem, folder: Path) -> list[Record]:
    evaluator = TabularEvaluator(problem.space)
    records = tuple(
        Record("feasible", a, {**problem.hardware.costs(a), **evaluator.evaluate(a)})
        for a in problem.space.architectures()
    )
    archive = Archive.open(folder / "all.jsonl", problem.objective)
    archive.append(Round(0, "", records))
    return archive.front(problem.minimised)


def searched(strategy: str, seed: int, cost: str, settings: Sequence[str], folder: Path) -> float:
    """Return the hypervolume that one search reaches."""
    chosen = ["llm=scripted", f"strategy={strategy}", f"seed={seed}", "report=line"]
    names = [f"choices.{key}=x" for key in ("searchspace", "strategy", "llm")]
    hardware = ["hardware=table", f"hardware.table={TABLE}", f"hardware.columns=[{cost}]"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("search", [*chosen, *names, *hardware, *settings])
    result = session.run(cfg, folder / f"{strategy}-{seed}")
    return float(result["hypervolume"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cost", default="help_gold_6226_ms")
    parser.add_argument("--worst", type=float, default=21.0, help="cost at the reference point")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    args = parser.parse_args()
    space = NASBench201()
    reference = {"val_accuracy": ACCURACY, args.cost: args.worst}
    problem = Problem(space, TableCosts(space, str(TABLE), [args.cost]), reference=reference)
    settings = [
        f"budget.evaluations={args.evaluations}",
        f"pareto={{val_accuracy: {ACCURACY}, {args.cost}: {args.worst}}}",
    ]
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        front = true_front(problem, folder)
        ideal = pareto.hypervolume(front, problem)
        for strategy in STRATEGIES:
            start = time.perf_counter()
            found = [
                searched(strategy, seed, args.cost, settings, folder) for seed in range(args.seeds)
            ]
            seconds = (time.perf_counter() - start) / args.seeds
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            lines.append(
                f"{strategy:8} {statistics.mean(found):.4f} ± {spread:.4f}   "
                f"{statistics.mean(found) / ideal:.1%} of the true front   {seconds:.2f} s"
            )
    print(f"true front of {len(front)}: {ideal:.4f} of the box to {reference}")
    print(f"after {args.evaluations} evaluations, {args.seeds} seeds:", *lines, sep="\n")


if __name__ == "__main__":
    main()
