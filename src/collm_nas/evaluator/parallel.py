"""Batches computed at the same time by threads, with results that do not depend on their number.

A network that one batch after another goes through wastes cores on waiting, and sums that are
split over threads depend on how many there are. Whole batches do neither: torch releases the
interpreter while it computes, and each batch is computed by one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Yield `function(item)` for all items, in their order; few items are held at a time.

    With several threads, torch must be told to use one in each operation
    (`torch.set_num_threads(1)`), or they get in each other's way.
    """
    if threads == 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
