"""A run directory, read back after the search: the only way in which reports see a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from collm_nas.config.binding import FREE, flat, stored
from collm_nas.config.run import UserError, build
from collm_nas.core.archive import Archive, Record
from collm_nas.report.integrity import Result, check_files, read_result
from collm_nas.report.ranking import ranked
from collm_nas.spaces.base import SearchSpace

# what results depend on but the evaluator: that is told by the protocol of each number
BINDING = (
    *("searchspace", "hardware", "strategy"),
    *("limits", "pareto", "constraint_mode", "seed"),
)


@dataclass(frozen=True)
class StoredRun:
    """One search, finished or not."""

    directory: Path
    config: DictConfig
    result: Result | None  # None before the first end or stop of the search
    archive: Archive

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that results depend on, by their dotted keys."""
        return flat(self.config, BINDING, FREE)

    @property
    def finished(self) -> bool:
        """Tell whether the search came to its end, and was not continued since."""
        result = self.result
        return bool(result and result["finished"] and result["rounds"] == len(self.archive.rounds))

    @property
    def state(self) -> str:
        """Say how the search stands."""
        if self.result is None:
            return "no result yet: it runs, or was killed"
        if self.result["rounds"] != len(self.archive.rounds):
            return "continued: it runs, or was killed"
        first = re.split(r"[.:;] |\n", self.result.get("stopped", ""))[0]
        return first if self.finished else f"unfinished: {first}"

    @property
    def llm(self) -> str:
        """Name the language models as every output must; empty if there are none."""
        if self.result is not None:
            return self.result["llm"]
        models = OmegaConf.select(self.config, "strategy.models") or {}
        names = [str(m.get("model") or m.get("persona") or m._target_) for m in models.values()]
        return " and ".join(dict.fromkeys(names))

    @property
    def replayed(self) -> bool:
        """Tell whether recorded answers were played back."""
        return any(str(value).endswith(".ReplayChat") for value in self.settings.values())

    def space(self) -> SearchSpace:
        """Build the search space of the run."""
        space: SearchSpace = build(self.config.searchspace)
        return space

    def best_so_far(self) -> list[float]:
        """Return the best feasible objective after each evaluation; nan before there is one."""
        values = [
            self.archive.score(r) if r.verdict == "feasible" else float("nan")
            for r in self.archive.evaluated()
        ]
        return list(accumulate(values, _larger))

    def ranking(self, evaluations: int | None = None) -> list[Record]:
        """List the feasible records among the first `evaluations`, best first; see `ranked`."""
        return ranked(self.archive.evaluated()[:evaluations], self.archive.objective)


def read_run(directory: Path, unfinished: bool = False) -> StoredRun:
    """Read one run directory.

    Args:
        unfinished: also read a search that has not come to an end or a stop yet.

    Raises:
        UserError: it is none, its search has not come to an end or a stop yet, or a file of it is
            damaged.
    """
    names = ["config.yaml", "archive.jsonl", *([] if unfinished else ["result.json"])]
    if missing := [name for name in names if not (directory / name).exists()]:
        raise UserError(
            f"{directory} is no run with a result ({', '.join(missing)} missing). "
            "Finish it by repeating its search.py command."
        )
    try:
        config = stored(directory / "config.yaml", ("strategy", "hardware", "evaluator", "choices"))
        result = read_result(directory)
        path = directory / "archive.jsonl"
        archive = Archive.read(path, result["selected_on"] if result else _objective(path))
        check_files(directory, result, archive)
    except ValueError as error:
        raise UserError(str(error)) from error
    return StoredRun(directory, config, result, archive)


def _objective(path: Path) -> str:
    """Return what the records of an archive were selected on: the one accuracy that they have."""
    metrics = (name for record in Archive.read(path, "").records() for name in record.metrics)
    return next((name for name in metrics if name.endswith("_accuracy")), "val_accuracy")


def _larger(a: float, b: float) -> float:
    return a if b != b or a >= b else b  # b != b: nan
