"""How well the pipeline does when its models are scripted: a check of the pipeline, not of a model.

    python benchmarks/sensible_persona.py [TABLE]

CoLLM-NAS with the sensible persona in both roles, 100 evaluations, 20 seeds, selected on
validation. Its answers follow a one-line prior, and a random search inside that prior reaches
94.33 / 73.20 / 46.43 at the same budget; a pipeline that hands feedback and answers through must
reach the promised means, checked by the exit status. TABLE holds the test accuracies (see
docs/nasbench201.md); by default it is data/nasbench201.csv.xz in $COLLM_SHARED.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from collm_nas.archive import Archive
from collm_nas.evaluator.sealed import SealedTest
from collm_nas.evaluator.tabular import TabularEvaluator
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.llm.scripted import ScriptedChat
from collm_nas.problem import Problem
from collm_nas.search import Budget, run_search
from collm_nas.searchspace.nasbench201 import NASBench201
from collm_nas.strategy.collm import CoLLM

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))
PROMISED = {"cifar10": 94.2, "cifar100": 72.9, "imagenet16-120": 46.3}
SEEDS, EVALUATIONS = 20, 100


def search(problem: Problem, evaluator: TabularEvaluator, seed: int) -> Archive:
    """Run one search; return its archive."""
    chat = ScriptedChat(problem.space, "sensible", seed)
    strategy = CoLLM(problem, seed, chat, chat, candidates="5-10", asking={})
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive(Path(directory) / "archive.jsonl", problem.objective)
        run_search(problem, strategy, evaluator, archive, Budget(EVALUATIONS, rounds=1000))
    return archive


def main() -> int:
    table = sys.argv[1] if len(sys.argv) > 1 else str(SHARED / "data" / "nasbench201.csv.xz")
    kept = True
    for dataset, promised in PROMISED.items():
        space = NASBench201(dataset)
        problem = Problem(space, ClosedForm(space))
        evaluator, test = TabularEvaluator(space), SealedTest(space, table)
        start = time.perf_counter()
        archives = [search(problem, evaluator, seed) for seed in range(SEEDS)]
        seconds = (time.perf_counter() - start) / SEEDS
        best = [archive.best() for archive in archives]
        valid = [r.metrics[problem.objective] for r in best if r]
        unsealed = [test.test_accuracy(r.arch) for r in best if r and r.arch]
        rounds = statistics.mean(len(archive.rounds) for archive in archives)
        evaluated = {len(archive.evaluated()) for archive in archives}
        print(
            f"{dataset}: test {statistics.mean(unsealed):.2f}±{statistics.stdev(unsealed):.2f} "
            f"(promised {promised}), validation {statistics.mean(valid):.2f}"
            f"±{statistics.stdev(valid):.2f}; {evaluated} evaluations in {rounds:.1f} rounds, "
            f"{seconds:.2f} s"
        )
        kept &= statistics.mean(unsealed) >= promised
    print("kept" if kept else "BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
