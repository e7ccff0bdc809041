"""Remember evaluations on disk, so that a resumed search repeats none."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock

from collm_nas.architecture import Architecture
from collm_nas.jsonl import append_jsonl, read_jsonl
from collm_nas.problem import Evaluator, Metrics


class CachedEvaluator:
    """An evaluator that looks `arch` up in `path` before it asks `evaluator`.

    Raises:
        ValueError: the numbers in `path` are of another protocol.
    """

    def __init__(self, evaluator: Evaluator, path: Path) -> None:
        self.evaluator = evaluator
        self.objective = evaluator.objective
        self.protocol = evaluator.protocol
        self.path = path
        self.lock = Lock()
        entries = read_jsonl(path)
        if others := {e.get("protocol", "unknown") for e in entries} - {self.protocol}:
            raise ValueError(
                f"{path} holds results of the protocol {', '.join(sorted(others))}, and now it is "
                f"{self.protocol}: the weights, the images or the way to measure have changed. "
                "Restore them to continue the run, or choose another directory: run_dir=…"
            )
        self.seconds = sum(e["seconds"] for e in entries)  # spent on evaluating, over all visits
        self.known: dict[Architecture, Metrics] = {
            Architecture.of(e["arch"]): e["metrics"] for e in entries
        }

    def evaluate(self, arch: Architecture) -> Metrics:
        """See `Evaluator`."""
        if arch not in self.known:
            start = time.monotonic()
            metrics = dict(self.evaluator.evaluate(arch))
            seconds = round(time.monotonic() - start, 6)
            with self.lock:
                entry = {"arch": arch.to_json(), "metrics": metrics, "protocol": self.protocol}
                append_jsonl(self.path, {**entry, "seconds": seconds})
                self.known[arch] = metrics
                self.seconds += seconds
        return self.known[arch]
