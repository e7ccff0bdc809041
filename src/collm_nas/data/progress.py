"""How far a long piece of work is: a bar on a terminal, a line each minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

EVERY_S = 60.0

T = TypeVar("T")


def tracked(work: Iterable[T], steps: int, what: str) -> Iterator[T]:
    """Yield the `steps` items of `work`, telling on stderr how many there were."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(work, what, steps, console=console, transient=True)
        return
    told = time.monotonic()
    for step, item in enumerate(work, start=1):
        yield item
        if time.monotonic() - told > EVERY_S:
            told = time.monotonic()
            print(f"{what}: {step} of {steps}", file=sys.stderr)
