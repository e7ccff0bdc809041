"""What a logger is, for searches and trainings alike: numbers go in, one step after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from collm_nas.config.run import build
from collm_nas.core.archive import Archive

Metrics = Mapping[str, Any]  # numbers and texts by name; `None` is not known


@dataclass(frozen=True)
class LoggedRun:
    """The search, or the phase of a training, that a logger is built for.

    Args:
        directory: of the run.
        last_step: the last that earlier visits logged, at most; what they logged after it happens
            again.
        config: all settings.
        past: what there was to log in each step until then, from 0; `None`: nobody remembers.
        phase: of a training.
    """

    directory: Path
    last_step: int
    config: Mapping[str, Any]
    past: Sequence[Metrics] | None = None
    phase: str = ""

    @property
    def folder(self) -> Path:
        """Return where the files of a logger belong."""
        return self.directory / "phases" / self.phase if self.phase else self.directory

    @property
    def axis(self) -> str:
        """Return what a step is: a `round` of a search, or a `step` of an optimiser."""
        return "step" if self.phase else "round"


class Logger(Protocol):
    """Sends metrics somewhere. Its constructor is given the `run`, besides its own settings."""

    def log(self, metrics: Metrics, step: int) -> None:
        """Log what is known after `step`; not each step has the same metrics."""

    def finish(self) -> None:
        """Close: this visit logs nothing more."""


@runtime_checkable
class LogsArchive(Protocol):
    """A logger that can show all candidates of a search."""

    def log_archive(self, archive: Archive) -> None:
        """Log the archive of a search that is over."""


@dataclass(frozen=True)
class Loggers:
    """Several loggers as one, to be used in a `with` block, at whose end they finish."""

    members: Sequence[Logger]

    @classmethod
    def build(cls, nodes: Mapping[str, Any], run: LoggedRun) -> Loggers:
        """Build those under the key `logger`; `null` is none.

        Raises:
            UserError: one cannot be built, or cannot reach its service.
        """
        return cls([build(node, run=run) for node in nodes.values() if node is not None])

    def __enter__(self) -> Loggers:
        return self

    def __exit__(self, *_: object) -> None:
        for logger in self.members:
            logger.finish()

    def log(self, metrics: Metrics, step: int) -> None:
        for logger in self.members:
            logger.log(metrics, step)

    def log_archive(self, archive: Archive) -> None:
        for logger in self.members:
            if isinstance(logger, LogsArchive):
                logger.log_archive(archive)
