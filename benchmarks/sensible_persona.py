"""How well the pipeline does when its models are scripted: a check of the pipeline, not of a model.

    python benchmarks/sensible_persona.py [TABLE]

CoLLM-NAS with the sensible persona in both roles, 100 evaluations, 20 seeds, selected on
validation; beside it the same persona without feedback, which is random search inside a one-line
prior, and random search in the whole space. A pipeline that hands feedback and answers through
must reach the promised means, checked by the exit status. TABLE holds the test accuracies (see
docs/nasbench201.md); by default it is data/nasbench201.csv.xz in $COLLM_SHARED.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.spaces.benchmark import read_table
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.strategy.collm import CoLLM
from collm_nas.strategy.iid_llm import IIDLLM
from collm_nas.strategy.random import RandomSearch

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))
PROMISED = {"cifar10": 94.2, "cifar100": 72.9, "imagenet16-120": 46.3}
SEEDS, EVALUATIONS = 20, 100


def strategies(problem: Problem, seed: int) -> dict[str, SearchStrategy]:
    chat = ScriptedChat(problem.space, "sensible", seed)
    return {
        "collm": CoLLM(problem, seed, chat, chat, candidates="5-10"),
        "no feedback": IIDLLM(problem, seed, chat, candidates="5-10"),
        "random": RandomSearch(problem, seed, batch_size=10),
    }


def search(problem: Problem, evaluator: TabularEvaluator, strategy: SearchStrategy) -> Archive:
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive.open(Path(directory) / "archive.jsonl", problem.objective)
        run_search(problem, strategy, evaluator, archive, Budget(EVALUATIONS, rounds=1000))
    return archive


def told(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f}±{statistics.stdev(values):.2f}"


def main() -> int:
    table = sys.argv[1] if len(sys.argv) > 1 else str(SHARED / "data" / "nasbench201.csv.xz")
    kept = True
    for dataset, promised in PROMISED.items():
        space = NASBench201(dataset)
        problem = Problem(space, ClosedForm(space))
        evaluator, sealed = TabularEvaluator(space), read_table(space, "test", table)
        for name in strategies(problem, 0):
            archives = [
                search(problem, evaluator, strategies(problem, seed)[name]) for seed in range(SEEDS)
            ]
            best = [record for archive in archives if (record := archive.best())]
            valid = [record.metrics[problem.objective] for record in best]
            test = [sealed.accuracy(record.arch) for record in best if record.arch]
            rounds = statistics.mean(len(archive.rounds) for archive in archives)
            print(
                f"{dataset}, {name}: test {told(test)}, validation {told(valid)}, "
                f"{rounds:.1f} rounds"
            )
            kept &= name != "collm" or statistics.mean(test) >= promised
    print("kept" if kept else "BROKEN", ", ".join(f"{k} {v}" for k, v in PROMISED.items()))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
