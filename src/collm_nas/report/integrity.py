"""Do the files of a run fit each other? A checksum cannot tell that the last lines are gone.

What a search writes first must hold all that it writes later: the ledger and the evaluations, then
the archive, then the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from collm_nas.core.archive import Archive, Record
from collm_nas.core.files import Journal, read_json
from collm_nas.evaluator.cache import EvaluationLine, by_architecture
from collm_nas.llm.ledger import CallLine

RESULT = "result.json"


class Used(TypedDict):
    """The calls of language models in `result.json`, as far as the files depend on it."""

    calls: NotRequired[int]


class Result(TypedDict):
    """What `result.json` has at least."""

    strategy: str
    llm: str
    selected_on: str
    protocol: str
    best: dict[str, Any]
    evaluations: int
    rounds: int
    llm_usage: Used
    finished: bool
    stopped: NotRequired[str]


def read_result(directory: Path) -> Result | None:
    """Read `result.json`; None before the first end or stop of the search.

    Raises:
        CorruptFile: it is damaged.
    """
    path = directory / RESULT
    if not path.exists():
        return None
    return read_json(path, Result, "Delete it and repeat the run's search.py command.")


def check_files(directory: Path, result: Result | None, archive: Archive) -> list[Record]:
    """See that ledger, evaluations, archive and result are those of one search.

    Args:
        result: read before the archive, which may belong to a running search.

    Returns:
        Evaluated records whose line in `evaluations.jsonl` is torn.

    Raises:
        CorruptFile: they are not.
    """
    lost: list[Record] = []
    evaluations = directory / "evaluations.jsonl"
    if evaluations.exists():
        journal = Journal(evaluations, EvaluationLine)
        lost = archive.check(by_architecture(journal.entries), evaluations)
        if len(lost) > journal.torn:
            journal.refuse(len(journal.entries), f"there is no line for {lost[0].arch}")
    if result is not None:
        if len(archive.rounds) + archive.torn < result["rounds"]:
            archive.refuse(len(archive.rounds), f"{RESULT} has {result['rounds']} rounds")
        calls = Journal(directory / "llm_calls.jsonl", CallLine)
        known = result["llm_usage"].get("calls", 0)
        if calls.path.exists() and len(calls.entries) + calls.torn < known:
            calls.refuse(len(calls.entries), f"{RESULT} has {known} calls")
    return lost
