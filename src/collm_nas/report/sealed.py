"""The test accuracy of what a search selected, read once, after the search."""

from __future__ import annotations

import json
from collections.abc import Callable

from collm_nas.config.run import UserError
from collm_nas.core.architecture import Architecture
from collm_nas.core.printable import say
from collm_nas.report.evaluations import keep
from collm_nas.report.stored import StoredRun
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.benchmark import read_table


def test_accuracy(space: SearchSpace, table: str | None) -> Callable[[Architecture], float]:
    """Open the sealed numbers of a benchmark.

    Raises:
        UserError: the table has none.
    """
    try:
        return read_table(space, "test", table).accuracy
    except ValueError as error:
        raise UserError(str(error)) from error


def evaluate(run: StoredRun, rank: int, table: str | None) -> None:
    """Print and store the validation and the test accuracy of the `rank`-th best of `run`.

    Raises:
        UserError: the run has no such architecture, or the table no test accuracy.
    """
    ranking = run.ranking()
    if not 1 <= rank <= len(ranking):
        held = f"{run.directory} has {len(ranking)} architectures to choose"
        raise UserError(f"rank={rank}: {held}, by its archive.jsonl and result.json")
    record, space = ranking[rank - 1], run.space()
    assert record.arch is not None
    metrics = {**record.metrics, "test_accuracy": test_accuracy(space, table)(record.arch)}
    found = {
        "mode": "table",
        "run": str(run.directory),
        "rank": rank,
        "selected_on": run.archive.objective,
        "architecture": record.arch.to_json(),
        "metrics": metrics,
    }
    path = keep(run.directory, found)
    print(json.dumps(space.encode(record.arch)))
    for name, value in metrics.items():
        say(f"  {name:14} {value:,.10g}")
    say(f"selected on {run.archive.objective}; written to {path}")
