"""What a search shows while it runs: one live panel in a terminal, plain lines anywhere else."""

from __future__ import annotations

import io
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from collm_nas.core.printable import printable
from collm_nas.logger.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Shows rounds, evaluations, the best so far, rejected candidates, tokens, USD and the ETA.

    Args:
        title: what runs, e.g. "collm on nasbench201 (cifar10)".
        evaluations: the budget.
        done: evaluations of earlier visits, which say nothing of the rate of this one.
    """

    def __init__(
        self, title: str, evaluations: int, done: int, stream: TextIO | None = None
    ) -> None:
        self.title = printable(title)
        self.budget = evaluations
        self.done = done
        self.stream = stream or sys.stdout
        self.start = self.last_line = time.monotonic()
        self.snapshot: Snapshot | None = None
        self.live = _Panel(self) if self.stream.isatty() else None

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        else:
            print(self.title, file=self.stream, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.stop()
        elif self.snapshot:
            print(self._line(self.snapshot), file=self.stream, flush=True)

    def show(self, snapshot: Snapshot) -> None:
        """Show the search as it stands after a round."""
        self.snapshot = snapshot
        now = time.monotonic()
        if not self.live and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            print(self._line(snapshot), file=self.stream, flush=True)

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the panel: label and value."""
        elapsed = duration(time.monotonic() - self.start)
        if self.snapshot is None:
            return [("round", f"first, running for {elapsed}")]
        s = self.snapshot
        rows = [
            ("round", f"{s.round + 1} done, running for {elapsed}"),
            ("evaluations", f"{s.evaluations}/{self.budget}  ({self._rate(s)})"),
            ("best so far", _best(s)),
            ("rejected", _rejected(s)),
        ]
        if s.llm_calls:
            rows.append(("LLM", f"{s.llm_calls} calls, {s.tokens:,} tokens, ${s.usd:.3f}"))
        if s.strategy:
            rows.append(("strategy", first_words(s.strategy, 90)))
        return rows

    def _line(self, s: Snapshot) -> str:
        parts = [
            f"round {s.round + 1}",
            f"{s.evaluations}/{self.budget} evaluated",
            f"best {_best(s)}",
            _rejected(s),
        ]
        if s.llm_calls:
            parts.append(f"{s.llm_calls} LLM calls, {s.tokens:,} tokens, ${s.usd:.3f}")
        parts.append(self._rate(s))
        if s.strategy:
            parts.append(first_words(s.strategy, 60))
        return "  " + " | ".join(parts)

    def _rate(self, s: Snapshot) -> str:
        fresh, elapsed = s.evaluations - self.done, time.monotonic() - self.start
        if fresh <= 0:
            return "ETA unknown"
        left = max(0, self.budget - s.evaluations) * elapsed / fresh
        return f"{fresh / elapsed:.3g}/s, ETA {duration(left)}"


class Silent(Progress):
    """Shows nothing: a sweep prints a line when a run is done."""

    def __init__(self) -> None:
        super().__init__("", 0, 0, stream=io.StringIO())


class _Panel:
    """The rich panel; rich is imported only where there is a terminal."""

    def __init__(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.live import Live

        self.progress = progress
        self.live = Live(
            get_renderable=self._render,
            console=Console(file=progress.stream),
            refresh_per_second=2,
            transient=True,
        )

    def start(self) -> None:
        self.live.start()

    def stop(self) -> None:
        self.live.stop()

    def _render(self) -> RenderableType:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for label, value in self.progress.rows():
            grid.add_row(Text(label, "bold"), Text(value))
        return Panel(grid, title=Text(self.progress.title), title_align="left", expand=False)


def duration(seconds: float) -> str:
    """Write seconds as `m:ss` or `h:mm:ss`."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def first_words(text: str, limit: int) -> str:
    """Return the beginning of a strategy as one printable line, without its headings."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    line = printable(" ".join(" ".join(lines).split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _best(s: Snapshot) -> str:
    return f"{s.best:.3f}" if s.best is not None else "none yet"


def _rejected(s: Snapshot) -> str:
    counts = [(s.duplicates, "repeated"), (s.invalid, "invalid"), (s.infeasible, "over limits")]
    return ", ".join(f"{n} {word}" for n, word in counts if n) or "none rejected"
