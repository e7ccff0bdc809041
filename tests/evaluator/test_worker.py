"""A worker answers in a process of its own; its death is told, and harms no later task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from collm_nas.evaluator.pool import Worker, WorkerDied
from tests.conftest import ROOT


def doubling() -> Callable[[int], int]:
    return lambda number: 2 * number


def failing() -> Callable[[int], int]:
    def fail(number: int) -> int:
        raise LookupError(f"no {number}")

    return fail


def deadly(sign: int) -> Callable[[int], int]:
    def answer(number: int) -> int:
        if number == 13:
            os.kill(os.getpid(), sign)
        return number

    return answer


def exists(pid: int | None) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for_the_end_of(pid: int | None) -> None:
    deadline = time.monotonic() + 20
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not exists(pid)


def test_it_answers_in_another_process_that_is_kept() -> None:
    worker = Worker(doubling)
    assert worker.pid is None
    assert worker.ask(4) == 8
    first = worker.pid
    assert worker.ask(5) == 10
    assert worker.pid == first != os.getpid()


def test_an_exception_comes_back_with_its_traceback() -> None:
    worker = Worker(failing)
    for number in (3, 4):
        with pytest.raises(LookupError, match=f"no {number}") as caught:
            worker.ask(number)
        assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("sign", "told"),
    [
        (signal.SIGKILL, "SIGKILL: the system may have run out of memory"),
        (signal.SIGSEGV, "SIGSEGV"),
    ],
)
def test_its_death_is_told_and_the_next_task_answered(sign: int, told: str) -> None:
    worker = Worker(partial(deadly, sign))
    assert worker.ask(1) == 1
    with pytest.raises(WorkerDied, match=told):
        worker.ask(13)
    assert worker.ask(2) == 2


def test_a_process_that_died_between_tasks_is_told_too() -> None:
    worker = Worker(doubling)
    worker.ask(1)
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for_the_end_of(pid)
    with pytest.raises(WorkerDied):
        worker.ask(2)
    assert worker.ask(2) == 4


def test_the_process_ends_with_its_worker() -> None:
    worker = Worker(doubling)
    worker.ask(1)
    pid = worker.pid
    del worker
    wait_for_the_end_of(pid)


def test_the_process_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time\n"
        "from tests.evaluator.test_worker import Worker, doubling\n"
        "if __name__ == '__main__':\n"
        "    worker = Worker(doubling); worker.ask(1); print(worker.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert exists(pid)
    parent.kill()
    parent.communicate()
    wait_for_the_end_of(pid)
