"""A search from Python, without a config: for notebooks and programs of one's own."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from collm_nas.core.archive import Archive
from collm_nas.core.problem import Evaluator, Problem
from collm_nas.core.search import Budget, ConstraintMode, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.evaluator.cache import CachedEvaluator


def search(
    problem: Problem,
    strategy: SearchStrategy,
    evaluator: Evaluator,
    folder: str | PathLike[str],
    budget: Budget,
    *,
    workers: int = 1,
    constraint_mode: ConstraintMode = "feedback",
    on_round: Callable[[Archive], None] = lambda archive: None,
) -> Archive:
    """Search until `budget` is spent; `archive.best()` is the winner.

    The same call continues what is in `folder`, after a kill or with a larger budget: no
    evaluation is repeated.

    Args:
        folder: of the archive and the evaluations; it is made.
        workers: evaluations at the same time, in threads.
        constraint_mode: `feedback`: what misses the limits is evaluated and shown to the strategy,
            but cannot win; `prefilter`: it is not evaluated.
        on_round: is called after every round, e.g. to show progress.

    Raises:
        ValueError: problem, strategy and evaluator do not fit each other.
        OtherSearch: `folder` holds the results of other settings.
        CorruptFile: a file in `folder` was changed.
    """
    path = Path(folder).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(path / "archive.jsonl", problem.objective)
    kept = CachedEvaluator(evaluator, path / "evaluations.jsonl")
    run_search(problem, strategy, kept, archive, budget, workers, constraint_mode, on_round)
    return archive
