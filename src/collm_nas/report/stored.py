"""A run directory, read back after the search: the only way in which reports see a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from collm_nas.archive import Archive, Record
from collm_nas.files import CorruptFile
from collm_nas.report.integrity import Result, check_files, read_result
from collm_nas.report.ranking import ranked
from collm_nas.run import UserError, build
from collm_nas.searchspace.base import SearchSpace

SEED = re.compile(r"-seed\d+")


@dataclass(frozen=True)
class StoredRun:
    """One search, finished or not."""

    directory: Path
    config: DictConfig
    result: Result
    archive: Archive

    @property
    def arm(self) -> str:
        """Name what the runs of one arm share: the directory's name without the seed."""
        return SEED.sub("", self.directory.name)

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


def read_run(directory: Path) -> StoredRun:
    """Read one run directory.

    Raises:
        UserError: it is none, its search has not come to an end or a stop yet, or a file of it is
            damaged.
    """
    names = ("config.yaml", "archive.jsonl", "result.json")
    if missing := [name for name in names if not (directory / name).exists()]:
        raise UserError(
            f"{directory} is no run with a result ({', '.join(missing)} missing). "
            "Finish it by repeating its search.py command."
        )
    config = OmegaConf.load(directory / "config.yaml")
    assert isinstance(config, DictConfig)
    try:
        result = read_result(directory)
        assert result is not None
        archive = Archive.read(directory / "archive.jsonl", result["selected_on"])
        check_files(directory, result, archive)
    except CorruptFile as error:
        raise UserError(str(error)) from error
    return StoredRun(directory, config, result, archive)


def read_runs(paths: Sequence[Path]) -> list[StoredRun]:
    """Read run directories, and those inside folders of runs.

    Raises:
        UserError: there are none, or they cannot be compared with each other.
    """
    directories = sorted({p.parent for path in paths for p in path.rglob("archive.jsonl")})
    runs = [read_run(directory) for directory in directories]
    if not runs:
        raise UserError(f"no runs in {', '.join(map(str, paths))}; search.py makes them")
    for what, values in [
        ("search spaces", {f"{r.config.searchspace._target_} {_dataset(r)}" for r in runs}),
        ("objectives", {r.archive.objective for r in runs}),
        ("protocols", {r.result["protocol"] for r in runs}),
        ("limits", {str(r.config.limits) for r in runs}),
    ]:
        if len(values) > 1:
            raise UserError(f"the runs are of different {what}: {'; '.join(sorted(values))}")
    return runs


def _dataset(run: StoredRun) -> str:
    return str(run.config.searchspace.get("dataset", ""))


def _larger(a: float, b: float) -> float:
    return a if b != b or a >= b else b  # b != b: nan
