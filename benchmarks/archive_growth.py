"""What a round costs as the archive grows: it should be what the round adds.

    python benchmarks/archive_growth.py

Archives of 1,000, 10,000 and 50,000 evaluations, ten a round, are continued by each strategy that
asks no language model: milliseconds per round of ten (NSGA-II and evolution: fifty) candidates,
made-up accuracies and the write to disk included. The first round after an archive was opened also
goes through what came before, where a strategy follows from it. The Gaussian process is left out,
since its fit is cubic in the number of evaluations.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import Metrics, Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.strategy.evolution import Evolution
from collm_nas.strategy.local_search import LocalSearch
from collm_nas.strategy.nsga2 import NSGA2
from collm_nas.strategy.random import RandomSearch
from collm_nas.strategy.regularized_evolution import RegularizedEvolution
from collm_nas.strategy.reinforce import Reinforce

BATCH, ROUNDS = 10, 12
STRATEGIES: dict[str, Callable[[Problem], SearchStrategy]] = {
    "random": lambda problem: RandomSearch(problem, 0, BATCH),
    "regularized_evolution": lambda problem: RegularizedEvolution(problem, 0, 100, 10, BATCH),
    "evolution": lambda problem: Evolution(problem, 0, 100, 25, 25, 25, 0.1),
    "local_search": lambda problem: LocalSearch(problem, 0, BATCH),
    "reinforce": lambda problem: Reinforce(problem, 0, 0.01, 0.9, BATCH),
    "nsga2": lambda problem: NSGA2(problem, 0, 50, 0.9, 0.1),
}


class MadeUp:
    """Accuracies that only look like some."""

    objective = "val_accuracy"
    protocol = "made up"

    def evaluate(self, arch: Architecture) -> Metrics:
        return {self.objective: random.Random(str(arch)).gauss(70, 3)}


def grown(path: Path, problem: Problem, evaluations: int) -> None:
    """Write an archive of random architectures."""
    archive, rng, world = Archive.open(path, problem.objective), random.Random(0), MadeUp()
    for index in range(evaluations // BATCH):
        archs = [problem.sample(rng) for _ in range(BATCH)]
        records = [Record("feasible", a, {**problem.hardware.costs(a), **world.evaluate(a)})
                   for a in archs]  # fmt: skip
        archive.append(Round(index, "", tuple(records)))


def continued(path: Path, problem: Problem, strategy: SearchStrategy) -> list[float]:
    """Go on for some rounds; return the seconds of each."""
    archive, times = Archive.open(path, problem.objective), [time.process_time()]
    budget = Budget(10**6, len(archive.rounds) + ROUNDS)
    run_search(
        problem,
        strategy,
        MadeUp(),
        archive,
        budget,
        on_round=lambda archive: times.append(time.process_time()),
    )
    return [after - before for before, after in itertools.pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES])
    args = parser.parse_args()
    space = MobileNet()
    problem = Problem(space, ClosedForm(space))
    print(f"{'evaluations':>11}  {'strategy':22} {'ms per round':>12}  first round (ms)")
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole.jsonl"
            grown(whole, problem, size)
            for name in args.strategies:
                path = Path(shutil.copy(whole, Path(folder) / f"{name}.jsonl"))
                first, *others = continued(path, problem, STRATEGIES[name](problem))
                median = 1000 * statistics.median(others)
                print(f"{size:11,}  {name:22} {median:12.1f}  {1000 * first:,.0f}", flush=True)
            start = time.process_time()
            Archive.read(whole, problem.objective)
            print(f"{size:11,}  {'opening the archive':22} {time.process_time() - start:10.1f} s")


if __name__ == "__main__":
    main()
