"""Accuracies that were measured once, for all searches that measure the same way."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from filelock import FileLock

from collm_nas.architecture import Architecture
from collm_nas.jsonl import append_jsonl, read_jsonl
from collm_nas.problem import Metrics


class SharedResults:
    """Results in a file that any number of processes read and extend.

    Args:
        path: the file; its name says how the results were measured.
        protocol: the same for readers, written into each line.
    """

    def __init__(self, path: Path, protocol: str) -> None:
        self.path = path
        self.protocol = protocol
        self._lock = Lock()  # a file lock does not hold back other threads
        self._known: dict[Architecture, Metrics] = {}
        self._size = 0  # of the file, as far as it is known

    def find(self, arch: Architecture) -> Metrics | None:
        """Return the result of `arch`, if some process has stored it."""
        if arch not in self._known and self.path.exists():
            with self._lock, FileLock(f"{self.path}.lock"):
                self._read()
        return self._known.get(arch)

    def store(self, arch: Architecture, metrics: Metrics) -> None:
        """Add the result of `arch` for all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"protocol": self.protocol, "arch": arch.to_json(), "metrics": dict(metrics)}
        with self._lock, FileLock(f"{self.path}.lock"):
            self._read()  # cuts off what a killed process left half written
            append_jsonl(self.path, line)

    def _read(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == self._size:
            return
        for entry in read_jsonl(self.path):
            self._known[Architecture.of(entry["arch"])] = entry["metrics"]
        self._size = self.path.stat().st_size
