"""Accuracies that were measured once, for all searches that measure the same way."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import NotRequired

from filelock import FileLock
from typing_extensions import TypedDict

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import Journal
from collm_nas.core.problem import Metrics


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
