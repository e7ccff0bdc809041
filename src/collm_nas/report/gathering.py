"""Which stored runs are compared with which, up to where, and which ones are left out and why."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collm_nas.config.run import UserError
from collm_nas.report.arms import (
    Settings,
    arm_labels,
    arm_of,
    differing,
    in_words,
    problem_of,
    seeds_of,
)
from collm_nas.report.stored import StoredRun, read_run

FILES = ("archive.jsonl", "config.yaml")  # a search has one or both


@dataclass(frozen=True)
class LeftOut:
    """A directory that is not counted."""

    directory: Path
    reason: str


@dataclass(frozen=True)
class Arm:
    """Runs of one configuration, with other seeds."""

    label: str
    runs: tuple[StoredRun, ...]

    def at(self, evaluations: int) -> list[float]:
        """Return the best objective of each run by then; nan where nothing was found."""
        return [run.best_so_far()[evaluations - 1] for run in self.runs]


@dataclass(frozen=True)
class Comparison:
    """The arms that solve one problem, cut to the same number of evaluations."""

    problem: str
    objective: str
    evaluations: int
    cut: str  # why so many
    arms: tuple[Arm, ...]
    short: tuple[tuple[str, StoredRun], ...]  # unfinished runs that have fewer, with their label

    def best_run(self) -> StoredRun:
        """Return the run that found the best, among equals the first."""
        runs = [run for arm in self.arms for run in arm.runs if run.ranking(self.evaluations)]
        if not runs:
            return self.arms[0].runs[0]
        return max(runs, key=lambda r: r.archive.score(r.ranking(self.evaluations)[0]))


@dataclass(frozen=True)
class Gathered:
    """All that was found."""

    comparisons: tuple[Comparison, ...]  # one for each problem
    separated: str  # why there are several; empty for one
    left_out: tuple[LeftOut, ...]


def gather(patterns: Sequence[str], evaluations: int | None = None) -> Gathered:
    """Read the runs in `patterns` and sort them into problems and arms.

    Args:
        patterns: run directories, folders that hold some, or globs of either.
        evaluations: the cut; runs that have fewer are left out. None: that of the shortest finished
            run.

    Raises:
        UserError: there is nothing to compare.
    """
    runs, left_out = [], []
    for directory in find(patterns):
        try:
            run = read_run(directory, unfinished=True)
            if run.archive.evaluated():
                runs.append(run)
            else:
                left_out.append(LeftOut(directory, f"nothing is evaluated yet; {run.state}"))
        except UserError as error:
            left_out.append(LeftOut(directory, str(error)))
    problems: dict[tuple[tuple[str, str], ...], list[StoredRun]] = {}
    for run in runs:
        problems.setdefault(tuple(problem_of(run).items()), []).append(run)
    settings = [dict(problem) for problem in problems]
    comparisons = []
    for problem, solving in zip(settings, problems.values(), strict=True):
        counted, repeats = without_repeats(solving)
        left_out += repeats
        title = _title(problem, solving[0], differing(settings))
        found, short = _cut(title, counted, evaluations)
        left_out += short
        comparisons += found
    if not comparisons:
        reasons = "".join(f"\n  {run.directory}: {run.reason}" for run in left_out)
        raise UserError(f"no runs in {', '.join(patterns)}; search.py makes them{reasons}")
    keys = ", ".join(k for k in differing(settings) if not k.endswith("._target_"))
    separated = f"These are {len(settings)} problems (other {keys}): not compared with each other."
    return Gathered(tuple(comparisons), separated if len(settings) > 1 else "", tuple(left_out))


def find(patterns: Iterable[str]) -> list[Path]:
    """List the directories of searches, each once.

    Raises:
        UserError: a pattern matches nothing; all of them are named.
    """
    found: dict[Path, Path] = {}
    empty = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        names = [str(path)] if path.exists() else sorted(glob.glob(str(path), recursive=True))
        files = [p for n in names for f in FILES for p in Path(n).rglob(f)]
        searches = sorted(d for d in {p.parent for p in files} if _is_search(d))
        if not searches:
            empty.append(pattern)
        for directory in searches:
            found.setdefault(directory.resolve(), directory)
    if empty:
        raise UserError(f"no runs in {', '.join(empty)}; search.py makes them")
    return list(found.values())


def without_repeats(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[LeftOut]]:
    """Leave out what is no observation of its own: copies, replays and a seed's second run."""
    counted: list[StoredRun] = []
    repeats = []
    for run in sorted(runs, key=lambda r: (r.replayed, -len(r.archive.evaluated()))):
        reason = next((why for other in counted if (why := _repeats(run, other))), "")
        if reason:
            repeats.append(LeftOut(run.directory, reason))
        else:
            counted.append(run)
    return sorted(counted, key=lambda run: run.directory), repeats


def _repeats(run: StoredRun, other: StoredRun) -> str:
    """Say why `run` adds nothing to `other`; empty if it does."""
    twin = arm_of(run) == arm_of(other) and seeds_of(run) == seeds_of(other)
    tried = run.archive.evaluated()
    if (twin or run.replayed) and tried == other.archive.evaluated()[: len(tried)]:
        return f"{'a replay' if run.replayed else 'the same search, a copy'} of {other.directory}"
    if twin:
        return f"the same settings and seed as {other.directory}, with other results"
    return ""


def _cut(
    title: str, runs: Sequence[StoredRun], evaluations: int | None
) -> tuple[list[Comparison], list[LeftOut]]:
    """Sort runs into arms, without those that are too short."""
    settings = [arm_of(run) for run in runs]
    arms = list({tuple(arm.items()): arm for arm in settings}.values())
    labels = dict(zip(map(_key, arms), arm_labels(arms), strict=True))
    have = {run.directory: len(run.archive.evaluated()) for run in runs}
    finished = [run for run in runs if run.finished] or list(runs)
    shortest = min(finished, key=lambda run: have[run.directory])
    cut = evaluations or have[shortest.directory]
    counted: dict[str, list[StoredRun]] = {}
    short, left_out = [], []
    for run, arm in zip(runs, settings, strict=True):
        label, done = labels[_key(arm)], have[run.directory]
        if done >= cut:
            counted.setdefault(label, []).append(run)
            continue
        best = next((f", best {run.archive.score(r):.2f}%" for r in run.ranking()), "")
        left_out.append(
            LeftOut(run.directory, f"{label}: {done} of {cut} evaluations{best}; {run.state}")
        )
        if not run.finished:
            short.append((label, run))
    if not counted:
        return [], left_out
    why = _why(cut, shortest, have, evaluations)
    compared = tuple(Arm(label, tuple(mine)) for label, mine in counted.items())
    return [
        Comparison(title, runs[0].archive.objective, cut, why, compared, tuple(short))
    ], left_out


def _why(cut: int, shortest: StoredRun, have: Mapping[Path, int], asked: int | None) -> str:
    if asked:
        return f"Cut to {cut} evaluations, as asked for."
    if max(have.values()) == cut:
        return f"No run has more than {cut} evaluations."
    return (
        f"Cut to {cut} evaluations: so many has the shortest finished run, {shortest.directory} "
        f"({shortest.state}). evaluations=N cuts elsewhere and leaves out what is shorter."
    )


def _title(problem: Settings, run: StoredRun, keys: Sequence[str]) -> str:
    space = str(run.config.choices.searchspace)
    known = [k for k in problem if k.endswith(".dataset") or k.startswith(("limits", "pareto"))]
    others = [k for k in keys if k in problem and not k.endswith("._target_")]
    if any(k.endswith(".dataset") for k in keys):
        others.remove("protocol")  # that of a table names its data set once more
    shown = dict.fromkeys([*known, *others])
    return ", ".join([space, *(in_words(k, problem.get(k)) for k in shown)])


def _key(arm: Settings) -> tuple[tuple[str, str], ...]:
    return tuple(arm.items())


def _is_search(directory: Path) -> bool:
    """Tell a search, perhaps in its first round, from other directories with a config."""
    if (directory / "archive.jsonl").exists():
        return True
    return "\nconstraint_mode:" in f"\n{(directory / 'config.yaml').read_text(errors='replace')}"
