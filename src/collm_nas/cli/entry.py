"""How a command starts and ends: hints for mistyped overrides, Ctrl-C in one line, whole sweeps.

Nothing is imported before Ctrl-C is answered: the imports of a command take longer than a user's
second thoughts.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial, wraps
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from omegaconf import DictConfig

    Task = Callable[[DictConfig], "Done"]

INTERRUPTED, JOBS_FAILED = 130, 4  # exit codes


class Done(NamedTuple):
    """What a command leaves: the directory of its results, and lines that say what to type next."""

    directory: Path | None = None
    next: str = ""


class Job(NamedTuple):
    """One job of a sweep: its overrides, where its results are, and how it ended (0: well)."""

    overrides: str
    directory: Path | None
    status: int


def start(task: Task, config: str, copied: str = "") -> None:
    """Run `task` with the config that the command line asks for, once or for each job of a sweep.

    Args:
        task: what the command does.
        config: the name of a file in conf/.
        copied: a key whose value may be copied from elsewhere, in another notation than Hydra's.
    """
    signal.signal(signal.SIGINT, _end_at_once)
    import hydra

    from collm_nas.config.renamed import with_current_keys
    from collm_nas.core.checkout import conf_dir

    sys.argv = with_current_keys(sys.argv)
    if copied:
        from collm_nas.config.quoting import with_text_quoted

        sys.argv = with_text_quoted(sys.argv, copied)
    jobs: list[Job] = []

    @wraps(task)
    def run(cfg: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from collm_nas.config.binding import composed

        cfg = composed(cfg)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            jobs.append(_job(task, cfg, " ".join(HydraConfig.get().overrides.task)))
            return
        done = _told(task, cfg, [])
        jobs.append(Job("", done.directory, 0))
        if done.next:
            print(done.next)

    conf = conf_dir()
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name=config)(run)()
    except SystemExit as end:
        if end.code == 1 and not jobs:  # Hydra gave up on the command line
            from collm_nas.cli.hints import near_matches

            print(*near_matches(sys.argv[1:], conf, config), sep="\n", file=sys.stderr)
        raise
    if len(jobs) > 1:
        _tell_sweep(jobs)


def _told(task: Task, cfg: DictConfig, interrupts: list[int]) -> Done:
    """Run `task`, which an interrupt reaches as an exception: it still says what it found."""
    from collm_nas.report.errors import told_plainly

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        with told_plainly(partial(_again, cfg)):
            return task(cfg)
    except KeyboardInterrupt:
        print(f"interrupted\n{_again(cfg, None)}", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, _end_at_once)


def _again(cfg: DictConfig, directory: Path | None) -> str:
    """Write the command that continues what is in `directory`."""
    from hydra.core.hydra_config import HydraConfig

    from collm_nas.report.next_command import next_command

    hydra = HydraConfig.get()
    script, typed = f"{hydra.job.config_name}.py", list(hydra.overrides.task)
    typed = [o for o in hydra.overrides.hydra if o.startswith("hydra.searchpath=")] + typed
    if directory is None or "run_dir" not in cfg:
        return next_command(script, *typed)
    others = [override for override in typed if not override.startswith("run_dir=")]
    return next_command(script, *others, run_dir=directory)


def _job(task: Task, cfg: DictConfig, overrides: str) -> Job:
    """Run one job of a sweep, whose failure does not end the others; an interrupt does."""
    print(f"== {overrides}", flush=True)
    interrupts: list[int] = []
    try:
        return Job(overrides, _told(task, cfg, interrupts).directory, 0)
    except SystemExit as end:
        if interrupts:
            raise
        return Job(overrides, None, int(end.code or 0))
    except Exception:  # a bug: the other jobs need not suffer from it
        import traceback

        traceback.print_exc()
        return Job(overrides, None, 1)


def _tell_sweep(jobs: list[Job]) -> None:
    """Name what failed and how to go on; end with an exit code that says whether all is well."""
    from collm_nas.report.next_command import next_command

    failed = [job for job in jobs if job.status]
    done = [job.directory for job in jobs if job.directory]
    for job in failed:
        print(f"failed (exit status {job.status}): {job.overrides}", file=sys.stderr)
    if done:
        print(f"{len(done)} of {len(jobs)} jobs are done.\n{next_command('compare.py', runs=done)}")
    if failed:
        sys.stdout.flush()
        sys.exit(JOBS_FAILED)


def _end_at_once(*_: object) -> None:
    """End without unwinding: nothing is open yet, and imports would print what they were at."""
    os.write(2, b"interrupted; the same command goes on where it was\n")
    os._exit(INTERRUPTED)
