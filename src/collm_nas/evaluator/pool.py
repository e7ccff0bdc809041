"""Who computes: threads that share the batches of a network, and processes that may die.

A network that one batch after another goes through wastes cores on waiting, and sums that are
split over threads depend on how many there are. Whole batches do neither: torch releases the
interpreter while it computes, and each batch is computed by one thread. A process that is killed
for its memory does not take the search with it.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Task = TypeVar("Task")
Answer = TypeVar("Answer")
Make = Callable[[], Callable[[Task], Answer]]


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


class WorkerDied(RuntimeError):
    """The process ended while it computed; the message says how."""


class Worker(Generic[Task, Answer]):
    """Answers tasks in a process of its own, which starts with the first one.

    A process that died is started again by the next task. It ends when this object, or this
    process, is no more. For one thread at a time.

    Args:
        make: called in the new process, returns what answers tasks there; picklable.
    """

    def __init__(self, make: Make[Task, Answer]) -> None:
        self.make = make
        self._running: tuple[BaseProcess, Connection] | None = None

    def ask(self, task: Task) -> Answer:
        """Return the answer to `task`, or raise what answering it raised.

        Raises:
            WorkerDied: the process is dead, e.g. killed for its memory.
        """
        process, connection = self._running = self._running or self._start()
        try:
            connection.send(task)
            answer = connection.recv()
        except (EOFError, ConnectionError):
            self._running = None
            process.join()
            raise WorkerDied(_end(process.exitcode)) from None
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    @property
    def pid(self) -> int | None:
        """Return the id of the process, if there is one."""
        return self._running[0].pid if self._running else None

    def _start(self) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.make), daemon=True)
        process.start()
        theirs.close()  # so that its end is the end of the connection
        return process, ours


def _serve(connection: Connection, make: Make[Task, Answer]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent: finish the task
    answer = None
    with suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            task = connection.recv()
            try:
                answer = answer or make()
                connection.send(answer(task))
            except Exception as error:
                error.add_note(traceback.format_exc())  # a traceback does not travel by itself
                connection.send(error)


def _end(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = ": the system may have run out of memory" if name == "SIGKILL" else ""
        return f"it was ended by {name}{hint}"
    return f"it ended with exit code {exitcode}"
