"""Subnets whose accuracies were measured, from a stored run or a table."""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collm_nas.config.binding import stored
from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import Journal
from collm_nas.evaluator.cache import EvaluationLine
from collm_nas.evaluator.predictor.file import Array
from collm_nas.spaces.base import SearchSpace, Variable

REPORTED = 5  # problems of a table in one message


@dataclass(frozen=True)
class Measured:
    """Subnets and their accuracies in percent."""

    archs: tuple[Architecture, ...]
    accuracies: Array

    def pick(self, indices: Sequence[int]) -> Measured:
        """Return some of them."""
        return Measured(tuple(self.archs[i] for i in indices), self.accuracies[list(indices)])

    def split(self, share: float, seed: int) -> tuple[Measured, Measured]:
        """Part them at random; the second part is `share` of all."""
        order = np.random.default_rng(seed).permutation(len(self.archs)).tolist()
        cut = round(len(order) * (1 - share))
        return self.pick(order[:cut]), self.pick(order[cut:])


def measured_by_run(run: Path, metric: str | None = None) -> tuple[SearchSpace, Measured]:
    """Read what a run of search.py evaluated.

    Args:
        metric: of the evaluations; `None` if there is just one.

    Raises:
        ValueError: it is no run, or has no such metric.
    """
    config, evaluations = run / "config.yaml", run / "evaluations.jsonl"
    if not (config.exists() and evaluations.exists()):
        raise ValueError(f"{run} is no run of search.py: it lacks config.yaml or evaluations.jsonl")
    cfg = stored(config)
    entries = Journal(evaluations, EvaluationLine).entries
    metrics = {name for entry in entries for name in entry["metrics"]}
    if metric is None and len(metrics) == 1:
        (metric,) = metrics
    if metric not in metrics:
        raise ValueError(f"--metric must be one of {', '.join(sorted(metrics))}, got {metric}")
    archs = tuple(Architecture.of(entry["arch"]) for entry in entries)
    accuracies = np.array([float(entry["metrics"][metric]) for entry in entries])
    return build(cfg.searchspace), Measured(archs, accuracies)


def measured_in_table(path: Path, space: SearchSpace, metric: str | None = None) -> Measured:
    """Read a CSV file, also an xz-compressed one. Accuracies up to 1 throughout are fractions.

    Raises:
        ValueError: the first problems of the table.
    """
    rows = _rows(path)
    accuracy = metric or "top1"
    columns = [*(v.name for v in space.variables), accuracy]
    if absent := [name for name in columns if not rows or name not in rows[0]]:
        raise ValueError(f"{path} lacks rows, or the columns {', '.join(absent)}")
    wrong = ((i, p) for i, row in enumerate(rows, 1) for p in _wrong(row, space, accuracy))
    if problems := [f"{path}, row {i}: {p}" for i, p in wrong]:
        raise ValueError("\n".join([*problems[:REPORTED], f"{len(problems)} problems in all"]))
    archs = tuple(
        space.build({v.name: _genes(row[v.name], v) for v in space.variables}) for row in rows
    )
    accuracies = np.array([float(row[accuracy]) for row in rows])
    return Measured(archs, accuracies * (100 if accuracies.max() <= 1 else 1))


def _rows(path: Path) -> list[dict[str, str]]:
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rt", newline="") as file:
            return list(csv.DictReader(file, restval=""))
    except (lzma.LZMAError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error


def _genes(text: str, variable: Variable) -> list[Value]:
    """Read the genes of one variable; `KeyError` for a value that is no option."""
    options = {str(option): option for option in variable.options}
    parts = text.split() if " " in text or variable.count == 1 else list(text)
    return [options[part] for part in parts]


def _wrong(row: Mapping[str, str], space: SearchSpace, accuracy: str) -> Iterator[str]:
    try:
        float(row[accuracy])
    except ValueError:
        yield f"{accuracy} must be a number, got {row[accuracy]!r}"
    for v in space.variables:
        try:
            if len(_genes(row[v.name], v)) != v.count:
                yield f"{v.name} must have {v.count} genes, got {row[v.name]!r}"
        except KeyError as error:
            yield f"{v.name} may be {', '.join(map(str, v.options))}, got {error}"
