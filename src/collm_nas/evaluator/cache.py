"""Evaluations on disk, so that none is repeated: those of a run, and those that all runs share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import NotRequired

from filelock import FileLock
from typing_extensions import TypedDict

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import Journal
from collm_nas.core.problem import EvaluationFailed, Evaluator, Metrics, measurement


class EvaluationLine(TypedDict):
    """An evaluation in the file."""

    arch: dict[str, list[Value]]
    metrics: dict[str, float]
    protocol: NotRequired[str]
    seconds: float


class CachedEvaluator:
    """An evaluator that looks `arch` up in `path` before it asks `evaluator`.

    Raises:
        ValueError: the numbers in `path` are of another protocol.
        CorruptFile: a line of it is no evaluation.
    """

    def __init__(self, evaluator: Evaluator, path: Path) -> None:
        self.evaluator = evaluator
        self.objective = evaluator.objective
        self.protocol = evaluator.protocol
        self.path = path
        self.lock = Lock()
        self.journal: Journal[EvaluationLine] = Journal(path, EvaluationLine)
        entries = self.journal.entries
        others = {e.get("protocol", "unknown") for e in entries}
        if others := {p for p in others if measurement(p) != measurement(self.protocol)}:
            raise ValueError(
                f"{path} holds results of the protocol {', '.join(sorted(others))}, and now it is "
                f"{self.protocol}: the weights, the images or the way to measure have changed, "
                "perhaps by an update (docs/evaluation.md says how each protocol measures). "
                "Restore them to continue the run, or choose another directory: run_dir=…"
            )
        self.seconds = sum(e["seconds"] for e in entries)  # spent on evaluating, over all visits
        self.known: dict[Architecture, Metrics] = by_architecture(entries)

    def evaluate(self, arch: Architecture) -> Metrics:
        """See `Evaluator`.

        Raises:
            EvaluationFailed: also if a result is no finite number.
            ValueError: the evaluator does not return its objective.
        """
        if arch not in self.known:
            start = time.monotonic()
            metrics = self._numbers(self.evaluator.evaluate(arch))
            self.keep(arch, metrics, round(time.monotonic() - start, 6))
        return self.known[arch]

    def keep(self, arch: Architecture, metrics: Mapping[str, float], seconds: float) -> None:
        """Remember a result, on disk first."""
        with self.lock:
            self.journal.append(
                {
                    "arch": arch.to_json(),
                    "metrics": dict(metrics),
                    "protocol": self.protocol,
                    "seconds": seconds,
                }
            )
            self.known[arch] = metrics
            self.seconds += seconds

    def _numbers(self, metrics: Metrics) -> dict[str, float]:
        if self.objective not in metrics:
            raise ValueError(
                f"the evaluator's objective is {self.objective}, but it returns "
                f"{', '.join(metrics) or 'nothing'}"
            )
        numbers = {n: x if type(x) in (int, float) else float(x) for n, x in metrics.items()}
        if wrong := [f"{name} is {x}" for name, x in numbers.items() if not isfinite(x)]:
            raise EvaluationFailed(", ".join(wrong))
        return numbers


def by_architecture(entries: list[EvaluationLine]) -> dict[Architecture, Metrics]:
    """Return the metrics of each architecture in `evaluations.jsonl`."""
    return {Architecture.of(e["arch"]): e["metrics"] for e in entries}


class ResultLine(TypedDict):
    """A result in the file."""

    protocol: str
    arch: dict[str, list[Value]]
    resolution: NotRequired[int]  # lines of old that lack it are not believed
    metrics: dict[str, float]


class SharedResults:
    """Results in a file that any number of processes read and extend.

    They are told apart by the side of the images, too, in pixels, which not all architectures hold.

    Args:
        path: the file; its name says how the results were measured.
        protocol: the same for readers, written into each line.

    Raises:
        CorruptFile: at the first use, if the file is damaged.
    """

    def __init__(self, path: Path, protocol: str) -> None:
        self.path = path
        self.protocol = protocol
        self._lock = Lock()  # a file lock does not hold back other threads
        self._known: dict[tuple[Architecture, int | None], Metrics] = {}
        self._journal: Journal[ResultLine] | None = None

    def find(self, arch: Architecture, resolution: int) -> Metrics | None:
        """Return the result of `arch`, if some process has stored it."""
        if (arch, resolution) not in self._known and self.path.exists():
            with self._lock, FileLock(f"{self.path}.lock"):
                self._read()
        return self._known.get((arch, resolution))

    def store(self, arch: Architecture, resolution: int, metrics: Metrics) -> None:
        """Add the result of `arch` for all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line: ResultLine = {
            "protocol": self.protocol,
            "arch": arch.to_json(),
            "resolution": resolution,
            "metrics": dict(metrics),
        }
        with self._lock, FileLock(f"{self.path}.lock"):
            self._read().append(line)

    def _read(self) -> Journal[ResultLine]:
        size = self.path.stat().st_size if self.path.exists() else 0
        if self._journal is None or size != self._journal.size:
            self._journal = Journal(self.path, ResultLine, of_run=False)
            for entry in self._journal.entries:
                place = (Architecture.of(entry["arch"]), entry.get("resolution"))
                self._known[place] = entry["metrics"]
        return self._journal
