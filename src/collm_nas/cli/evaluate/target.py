"""Which architecture is evaluated: the n-th of a run, one written by hand, or a published one."""

from __future__ import annotations

import difflib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from collm_nas.cli.evaluate.written import read_written
from collm_nas.config.run import UserError, build
from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.report.stored import StoredRun, read_run
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.format import shorten
from collm_nas.spaces.published import all_published


@dataclass(frozen=True)
class Target:
    """An architecture, and the directory that its results go to."""

    space: SearchSpace
    arch: Architecture
    label: str
    directory: Path
    run: StoredRun | None = None


def find_target(cfg: DictConfig) -> Target:
    """Return what the keys `run` and `rank`, or `arch`, name.

    Raises:
        UserError: they name nothing; with all that is wrong with an architecture.
    """
    space: SearchSpace = build(cfg.searchspace)
    if cfg.arch is not None:
        arch, name = _written(cfg.arch, space)
        directory = cfg.out or cfg.run or Path("runs", "evaluate", space.identity, name)
        return Target(space, arch, name, Path(directory))
    if cfg.run is None:
        raise UserError(
            "nothing to evaluate: run=… names a run directory of search.py, arch=… an "
            "architecture, e.g. arch=spos_readme searchspace=shufflenet"
        )
    run = read_run(Path(cfg.run))
    directory = Path(cfg.out or run.directory)
    return Target(space, nth(run, cfg.rank), f"rank {cfg.rank}", directory, run)


def nth(run: StoredRun, rank: int) -> Architecture:
    """Return the `rank`-th best architecture of `run`.

    Raises:
        UserError: it has no so many.
    """
    ranking = run.ranking()
    if not 1 <= rank <= len(ranking):
        held = f"{run.directory} has {len(ranking)} architectures to choose"
        raise UserError(f"rank={rank}: {held}, by its archive.jsonl and result.json")
    arch = ranking[rank - 1].arch
    assert arch is not None
    return arch


def _written(written: Any, space: SearchSpace) -> tuple[Architecture, str]:
    """Read the value of `arch`; return the architecture and a name for it."""
    wire = OmegaConf.to_container(written) if OmegaConf.is_config(written) else written
    hints: list[str] = []
    if isinstance(wire, str):
        if found := space.published_within().get(wire):
            return found, wire
        known = {**all_published(), **space.published}
        if wire in known:
            raise UserError(
                f"arch={wire} is an architecture of another space than {space.identity}: add\n"
                f"  {known[wire].words}"
            )
        if wire.replace("_", "").isidentifier():
            near = difflib.get_close_matches(wire, known, n=3, cutoff=0.5)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            hints = [f"arch={wire}: no published architecture has this name{meant}"]
        wire = read_written(wire)
    wire = space.transcribe(wire)
    (key, *others) = space.encode(space.sample(random.Random(0)))
    try:
        bare = not isinstance(wire, dict) and not others
        arch = space.decode({key: wire} if bare else wire)
    except InvalidArchitecture as error:
        lines = [f"  {problem}" for problem in error.problems]
        message = f"arch={shorten(wire)} is no architecture of {space.name}:"
        raise UserError("\n".join([*hints, message, *lines])) from error
    return arch, space.key(arch)
