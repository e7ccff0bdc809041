"""Classical strategies on NAS-Bench-201: what they find, and what our own code costs.

    python benchmarks/nb201_baselines.py [--table FILE] [--seeds 100] [--evaluations 100]
                                         [--strategies random,gp] [--datasets cifar10,cifar100]

Runs the real loop, with its archive on disk, selected on validation; with a table that has test
accuracies (COLLM_SHARED/data/nasbench201.csv.xz, or --table) these are reported beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hydra import compose, initialize_config_dir

from collm_nas.archive import Archive
from collm_nas.evaluator.sealed import SealedTest
from collm_nas.evaluator.tabular import TabularEvaluator
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.problem import Problem
from collm_nas.run import build
from collm_nas.search import Budget, run_search
from collm_nas.searchspace.nasbench201 import NASBench201

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared")) / "data/nasbench201.csv.xz"
STRATEGIES = "random,regularized_evolution,evolution,local_search,reinforce,gp"
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None  # archives of thousands of runs


@dataclass(frozen=True)
class Task:
    """One search."""

    strategy: str
    dataset: str
    seed: int
    evaluations: int
    table: str | None


@lru_cache
def world(dataset: str, table: str | None) -> tuple[TabularEvaluator, SealedTest | None]:
    space = NASBench201(dataset)
    return TabularEvaluator(space, table), SealedTest(space, table) if table else None


@lru_cache
def strategy_config(name: str) -> object:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(overrides=[f"+strategy={name}", "+seed=0"]).strategy


def run(task: Task) -> tuple[float, float, bool, float]:
    """Return validation and test accuracy of what was selected, optimum found?, seconds."""
    evaluator, sealed = world(task.dataset, task.table)
    problem = Problem(NASBench201(task.dataset), ClosedForm(NASBench201(task.dataset)))
    config = strategy_config(task.strategy).copy()  # type: ignore[attr-defined]
    config.seed = task.seed
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        archive = Archive(Path(folder) / "archive.jsonl", evaluator.objective)
        start = time.perf_counter()
        strategy = build(config, problem=problem)
        run_search(problem, strategy, evaluator, archive, Budget(task.evaluations, 10_000))
        seconds = time.perf_counter() - start
    best = archive.best()
    assert best is not None
    assert best.arch is not None
    test = sealed.test_accuracy(best.arch) if sealed else float("nan")
    return archive.score(best), test, evaluator.standing(best.arch).rank == 1, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default=str(SHARED) if SHARED.exists() else None)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--datasets", default="cifar10,cifar100,imagenet16-120")
    args = parser.parse_args()
    print(f"{args.evaluations} evaluations, {args.seeds} seeds, mean ± standard deviation")
    print(f"{'strategy':22}{'dataset':16}{'validation':>16}{'test':>16}{'optimum':>9}{'ms/eval':>9}")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in args.strategies.split(","):
            for dataset in args.datasets.split(","):
                tasks = [Task(name, dataset, s, args.evaluations, args.table) for s in seeds]
                found = list(pool.map(run, tasks, chunksize=max(1, len(tasks) // 16)))
                validation, test, optimum, seconds = zip(*found, strict=True)
                print(
                    f"{name:22}{dataset:16}{spread(validation):>16}{spread(test):>16}"
                    f"{100 * statistics.fmean(optimum):>8.0f}%"
                    f"{1000 * statistics.fmean(seconds) / args.evaluations:>9.2f}",
                    flush=True,
                )


def spread(values: tuple[float, ...]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.2f} ± {deviation:.2f}"


if __name__ == "__main__":
    main()
