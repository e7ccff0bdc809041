"""Remember evaluations on disk, so that a resumed search repeats none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import NotRequired

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
        self.known: dict[Architecture, Metrics] = measured(entries)

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


def measured(entries: list[EvaluationLine]) -> dict[Architecture, Metrics]:
    """Return the metrics of each architecture in `evaluations.jsonl`."""
    return {Architecture.of(e["arch"]): e["metrics"] for e in entries}
