"""`kill -9` again and again, then the same command to its end: is it as if nothing had happened?

    python benchmarks/kill_chains.py --kills 300

A chain is one search that is killed up to ten times and continued each time: of every strategy in
turn, with four workers, those that ask a language model also over HTTP. Half of the kills come at
a random moment; the others at a random write, sync, cut or rename, before it, after it or, of a
write, in its midst. A chain holds if
- no line of what was paid for (calls, evaluations) is ever lost, changed or repeated, and
- the archive and `rounds.csv` equal those of an undisturbed run, byte for byte, and the result
  does, but for seconds.
The exit status is 1 if one does not. Searches run in forks of a process that has imported
everything; `tests/test_kill.py` kills the command as it is typed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ASKING = ("collm", "single_llm", "iid_llm", "evoprompting")
OF_OTHER_SPACES = ("evolution_ofa", "evolution_autoformer")
KILLS_PER_CHAIN = 10
EVENTS = ("write", "fsync", "ftruncate", "replace")
PAID = {"llm_calls.jsonl": "key", "evaluations.jsonl": "arch"}
SAME = ("archive.jsonl", "rounds.csv")


@dataclass(frozen=True)
class Arm:
    """A strategy, asked for by command, and the server that answers, if one does."""

    strategy: str
    url: str | None = None

    def command(self, run_dir: Path, seed: int) -> list[str]:
        rates = ["strategy.mutation_rate=0.1"] if self.strategy in OF_OTHER_SPACES else []
        model = ["llm=scripted"]
        if self.url:
            model = ["llm=endpoint", "llm.model.model=scripted", f"llm.model.base_url={self.url}"]
        chosen = [f"strategy={self.strategy}", *model, *rates, f"seed={seed}"]
        return [*chosen, "budget.evaluations=40", "workers=4", f"run_dir={run_dir}", "report=line"]


@dataclass(frozen=True)
class Outcome:
    """What became of one chain."""

    arm: Arm
    at_moments: int
    at_events: int
    problems: tuple[str, ...]


def search(arguments: Sequence[str], prepare: Callable[[], None] = lambda: None) -> int:
    """Run `search.py` in a fork; return its process id."""
    if child := os.fork():
        return child
    with open(os.devnull, "w") as nowhere, open("errors.txt", "a") as errors:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    sys.argv = ["search.py", *arguments]
    status = 1
    try:
        prepare()
        runpy.run_path(str(ROOT / "search.py"), run_name="__main__")
        status = 0
    finally:
        os._exit(status)


def watch_events(number: int, how: str) -> None:
    """Kill this process at its `number`-th event."""
    numbers = count(1)

    def watched(event: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            mine = next(numbers) == number
            if mine and how == "midst" and event.__name__ == "write":
                event(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if mine and how != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            result = event(*arguments, **options)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in EVENTS:
        setattr(os, name, watched(getattr(os, name)))


def killed(arguments: Sequence[str], rng: random.Random, seconds: float) -> str:
    """Run a search and kill it; return at what it was, or what went wrong, or that it ended."""
    at_event = rng.random() < 0.5
    number, how = rng.randint(1, 40), rng.choice(["before", "midst", "after"])
    child = search(arguments, lambda: watch_events(number, how) if at_event else None)
    if not at_event:
        time.sleep(rng.uniform(0.2, 0.9) * seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "event" if at_event else "moment"
    return "end" if status == 0 else f"exit status {os.waitstatus_to_exitcode(status)}"


def paid(run_dir: Path) -> dict[str, bytes]:
    """Return the whole lines of the files that hold what was paid for."""
    files = [run_dir / name for name in PAID]
    return {f.name: f.read_bytes().rpartition(b"\n")[0] for f in files if f.exists()}


def chain(arm: Arm, seed: int, folder: Path) -> Outcome:
    """Kill and continue one search; compare it with an undisturbed one."""
    whole, broken = (folder / f"{arm.strategy}-{bool(arm.url)}-{seed}-{n}" for n in ("a", "b"))
    rng = random.Random(f"{arm}/{seed}")
    problems = []
    start = time.monotonic()
    os.chdir(folder)
    _, status = os.waitpid(search(arm.command(whole, seed)), 0)
    seconds = time.monotonic() - start
    if status:
        return Outcome(arm, 0, 0, (f"{whole}: the undisturbed search failed",))
    ends: list[str] = []
    before: dict[str, bytes] = {}
    for _ in range(KILLS_PER_CHAIN):
        ends.append(killed(arm.command(broken, seed), rng, seconds))
        after = paid(broken)
        if not all(after.get(name, b"").startswith(lines) for name, lines in before.items()):
            problems.append(f"{broken}: a line that was paid for is gone or changed")
        before = after
        if ends[-1] not in ("moment", "event"):
            break
    _, status = os.waitpid(search(arm.command(broken, seed)), 0)
    if status or ends[-1].startswith("exit"):
        problems.append(f"{broken}: it could not be continued ({ends[-1]})")
    else:
        problems += differences(whole, broken)
    return Outcome(arm, ends.count("moment"), ends.count("event"), tuple(problems))


def differences(whole: Path, broken: Path) -> Iterator[str]:
    """Say in what a chain differs from an undisturbed run."""
    for name in SAME:
        if (whole / name).read_bytes() != (broken / name).read_bytes():
            yield f"{broken}/{name} differs"
    if outcome(whole) != outcome(broken):
        yield f"{broken}/result.json differs"
    for name, field in PAID.items():
        if (whole / name).exists():
            ours, theirs = (called(run / name, field) for run in (whole, broken))
            if len({*theirs}) < len(theirs):
                yield f"{broken}/{name}: paid twice"
            if {*ours} != {*theirs}:
                yield f"{broken}/{name}: other calls than those of an undisturbed run"


def outcome(run_dir: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    del result["seconds"]
    result["llm_usage"].pop("seconds", None)
    return result


def called(path: Path, field: str) -> list[str]:
    return [str(json.loads(line)[field]) for line in path.read_text().splitlines()]


def start_server() -> tuple[subprocess.Popen[str], str]:
    """Start the fake server; return it and its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "collm_nas.fake_llm.server", "--persona", "sensible"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[-1]


def import_all() -> None:
    """Import what a search does, so that a fork need not."""
    sys.path.insert(0, str(ROOT))
    for module in ("cli.session", "cli.compose", "llm.openai", "fake_llm.scripted", "strategy.gp"):
        __import__(f"collm_nas.{module}")
    for module in ("search", "openai", "pydantic", "genai_prices", "scipy.stats", "sklearn"):
        __import__(module)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--kills", type=int, default=300)
    wanted = parser.parse_args().kills
    strategies = sorted(p.stem for p in (ROOT / "conf" / "strategy").glob("[!_]*.yaml"))
    import_all()
    server, url = start_server()
    arms = [*(Arm(s) for s in strategies), *(Arm(s, url) for s in ASKING)]
    outcomes: list[Outcome] = []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool,
        ):
            for seed in count():
                jobs = [pool.submit(chain, arm, seed, Path(folder)) for arm in arms]
                outcomes += [job.result() for job in jobs]
                kills = sum(o.at_moments + o.at_events for o in outcomes)
                print(f"{kills} kills in {len(outcomes)} chains", flush=True)
                if kills >= wanted:
                    break
    finally:
        server.kill()
    for arm in arms:
        mine = [o for o in outcomes if o.arm == arm]
        moments, events = sum(o.at_moments for o in mine), sum(o.at_events for o in mine)
        http = " over HTTP" if arm.url else ""
        print(f"{arm.strategy + http:28} {moments:4} at moments, {events:4} at file events")
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    print(*islice(problems, 20), f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
