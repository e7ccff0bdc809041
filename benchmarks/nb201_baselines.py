"""What the strategies without a language model reach on NAS-Bench-201.

    COLLM_SHARED=../shared python benchmarks/nb201_baselines.py random local_search gp \
        --datasets cifar10 cifar100 --seeds 100 --evaluations 100

Each search is the real loop with its archive on disk (in memory where the system has such a disk,
since a search forces every round to disk). Validation accuracy drives it and chooses the winner;
the test accuracy is looked up afterwards. The exit status tells whether the promises were kept
that the chosen runs can check.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process for each core

from omegaconf import OmegaConf  # noqa: E402

from collm_nas.config.run import build  # noqa: E402
from collm_nas.core.archive import Archive  # noqa: E402
from collm_nas.core.problem import Problem  # noqa: E402
from collm_nas.core.search import Budget, run_search  # noqa: E402
from collm_nas.evaluator.table import TabularEvaluator  # noqa: E402
from collm_nas.hardware.closed_form import ClosedForm  # noqa: E402
from collm_nas.spaces.benchmark import Table, read_table  # noqa: E402
from collm_nas.spaces.nasbench201.space import NASBench201  # noqa: E402

TABLE = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared")) / "data/nasbench201.csv.xz"
MEMORY = Path("/dev/shm")
STRATEGIES = ("random", "regularized_evolution", "evolution", "local_search", "reinforce", "gp")

# mean test accuracy at 100 evaluations, by an independent implementation on the same table
EXPECTED = {
    ("random", "cifar10"): 93.77,
    ("regularized_evolution", "cifar10"): 94.17,
    ("local_search", "cifar10"): 94.27,
    ("random", "cifar100"): 71.4,
    ("regularized_evolution", "cifar100"): 72.9,
    ("local_search", "cifar100"): 73.35,
}
TOLERANCE = 0.15
GP_FINDS_OPTIMUM = 0.9  # share of seeds, CIFAR-100
OVERHEAD_MS = 2.0  # per evaluation, except gp


@dataclass(frozen=True)
class Outcome:
    """The winner of one search, chosen on validation; accuracies in percent."""

    validation: float
    test: float
    regret: float  # on validation
    evaluations: int
    seconds: float
    cpu_seconds: float


@cache
def load(dataset: str) -> tuple[Problem, TabularEvaluator, Table]:
    space = NASBench201(dataset)
    evaluator = TabularEvaluator(space, str(TABLE))
    problem = Problem(space, ClosedForm(space), objective=evaluator.objective)
    return problem, evaluator, read_table(space, "test", TABLE)


def search(strategy: str, dataset: str, evaluations: int, seed: int) -> Outcome:
    problem, evaluator, sealed = load(dataset)
    conf = OmegaConf.load(ROOT / "conf" / "strategy" / f"{strategy}.yaml")
    cfg = OmegaConf.create({"seed": seed, "strategy": conf})
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        archive = Archive.open(Path(folder) / "archive.jsonl", evaluator.objective)
        start, cpu_start = time.perf_counter(), time.process_time()
        chosen = build(cfg.strategy, problem=problem)
        run_search(problem, chosen, evaluator, archive, Budget(evaluations, rounds=100_000))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    best = archive.best()
    assert best is not None
    assert best.arch is not None
    return Outcome(
        archive.score(best),
        sealed.accuracy(best.arch),
        evaluator.rank(best.arch).regret,
        len(archive.evaluated()),
        seconds,
        cpu,
    )


def describe(outcomes: Sequence[Outcome]) -> str:
    def spread(name: str) -> str:
        values = [getattr(o, name) for o in outcomes]
        sd = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.3f} ± {sd:.3f}"

    return (
        f"test {spread('test')}   validation {spread('validation')}   regret {spread('regret')}   "
        f"optimum {found(outcomes):.0%}   {statistics.mean(o.seconds for o in outcomes):.3f} s   "
        f"{overhead_ms(outcomes):.2f} ms CPU/evaluation"
    )


def found(outcomes: Sequence[Outcome]) -> float:
    return sum(o.regret == 0 for o in outcomes) / len(outcomes)


def overhead_ms(outcomes: Sequence[Outcome]) -> float:
    """All of it is ours: looking an accuracy up costs a microsecond."""
    return 1000 * sum(o.cpu_seconds for o in outcomes) / sum(o.evaluations for o in outcomes)


def broken(strategy: str, dataset: str, outcomes: Sequence[Outcome]) -> list[str]:
    problems = []
    mean = statistics.mean(o.test for o in outcomes)
    if abs(mean - (expected := EXPECTED.get((strategy, dataset), mean))) > TOLERANCE:
        problems.append(f"mean test accuracy {mean:.3f}, expected {expected} ± {TOLERANCE}")
    if (strategy, dataset) == ("gp", "cifar100") and found(outcomes) < GP_FINDS_OPTIMUM:
        problems.append(f"the optimum was found by less than {GP_FINDS_OPTIMUM:.0%}")
    if strategy != "gp" and overhead_ms(outcomes) > OVERHEAD_MS:
        problems.append(f"the overhead is over {OVERHEAD_MS} ms")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--datasets", nargs="+", default=["cifar10", "cifar100"])
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    problems = []
    with ProcessPoolExecutor(args.processes) as pool:
        for dataset in args.datasets:
            for strategy in args.strategies:
                same = (repeat(strategy), repeat(dataset), repeat(args.evaluations))
                outcomes = list(pool.map(search, *same, seeds))
                print(f"{dataset:15} {strategy:22} {describe(outcomes)}", flush=True)
                if args.evaluations == 100:
                    broken_here = broken(strategy, dataset, outcomes)
                    problems += [f"{strategy}, {dataset}: {p}" for p in broken_here]
    print("\n".join(problems) or "all promises that apply are kept")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
