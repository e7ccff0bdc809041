"""What the commands share: building objects from config nodes, and run directories.

A run directory is the memory of one search: repeating a command continues it, so it refuses
settings that would change results half way, and a second process at the same time.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from collm_nas.config.binding import FREE, MODELS, changes, flat, stored
from collm_nas.core.arguments import key_of, node_problems
from collm_nas.core.files import write_atomically

ELSEWHERE = "run_dir=… (of evaluate.py: out=…)"
CONFIG = "config.yaml"  # of every run directory
# what a node took over from elsewhere -> the key that sets it
ORIGINS = {
    rf"^{re.escape(MODELS)}\w+\.": "llm.model.",
    r"^evaluator\.data\.node\.": "data.",
}


class UserError(Exception):
    """Something the user can mend. The message says what was wrong, where, and what to do.

    Args:
        directory: that holds what is done, if the same command continues once that is mended.
    """

    def __init__(self, message: str, directory: Path | None = None) -> None:
        super().__init__(message)
        self.directory = directory


class Fruitless(Exception):
    """The search is over and nothing it was given could be read. The message says what it was."""


class Stopped(Exception):
    """A search or a training stopped before its end, and the same command continues it.

    Args:
        why: in words.
        directory: that holds what is done.
    """

    def __init__(self, why: str, directory: Path) -> None:
        super().__init__(f"{why}\nThe same command continues {directory}.")
        self.why = why
        self.directory = directory


def build(node: DictConfig, **runtime: Any) -> Any:
    """Build the object that `node` describes; `runtime` are the arguments no config can hold.

    They bypass `instantiate`, which would copy a dataclass into a config and lose its methods.

    Raises:
        UserError: the node has keys that its class does not take, lacks some, or holds values of
            the wrong type or range; all the problems at once.
        ValueError: values do not fit each other, or to what is in files.
    """
    key = getattr(node, "_get_full_key", lambda _: "")(None)
    settings: Any = node
    if OmegaConf.is_config(node):
        settings = OmegaConf.to_container(node, resolve=True)
    if found := node_problems(settings, given=runtime):
        raise UserError("\n".join(p.told(key_of((*filter(None, [key]), *p.path))) for p in found))
    try:
        factory = instantiate(node, _partial_=True, _convert_="all")
        return factory(**runtime)
    except (TypeError, InstantiationException) as error:
        raise UserError(
            f"config node `{key}` does not fit {node.get('_target_')}: {error}"
        ) from error


@contextmanager
def open_run(
    cfg: DictConfig,
    run_dir: Path,
    fixed: Sequence[str],
    results: Sequence[str],
    also_free: Callable[[DictConfig], Sequence[str]] = lambda _: (),
) -> Iterator[Path]:
    """Create or reopen `run_dir` and hold it while the block runs.

    Args:
        fixed: the config keys that results depend on; they may not change between two visits.
        results: patterns of the files that hold some. Until there is one, every setting may change.
        also_free: given the settings of the run so far, patterns of those that may change besides
            `FREE`, since none of its results depends on them.

    Raises:
        UserError: a setting is missing, another process holds the directory, it was started with
            other settings, or it cannot be written.
    """
    _refuse_missing(cfg, fixed)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / ".lock")
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"{run_dir} is in use by another process. Wait for it, or give this one another "
            f"directory: {ELSEWHERE}"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write to {run_dir}: {error}. Choose another: {ELSEWHERE}"
        ) from error
    try:
        held = [path for pattern in results for path in run_dir.glob(pattern)]
        if any(path.stat().st_size for path in held):
            _refuse_changes(cfg, run_dir, fixed, also_free)
        write_atomically(run_dir / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
        yield run_dir
    finally:
        lock.release()


def environment() -> dict[str, Any]:
    """Describe what results may depend on besides the config: versions and the machine."""
    installed = _installed()
    return {
        "collm_nas": installed.get("collm-nas", "not installed"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": installed,
    }


@cache
def _installed() -> dict[str, str]:
    found = ((d.metadata["name"], d.version) for d in metadata.distributions())
    return dict(sorted(found))


def _refuse_missing(cfg: DictConfig, fixed: Sequence[str]) -> None:
    missing = {_origin(key) for key, value in flat(cfg, fixed).items() if value == "???"}
    if missing:
        raise UserError("\n".join(f"{key} is not set: {key}=…" for key in sorted(missing)))


def _refuse_changes(
    cfg: DictConfig,
    run_dir: Path,
    fixed: Sequence[str],
    also_free: Callable[[DictConfig], Sequence[str]],
) -> None:
    path = run_dir / CONFIG
    if not path.exists():
        return
    try:
        old = stored(path)
        changed = changes(old, cfg, fixed, FREE)
        changed = changed and changes(old, cfg, fixed, (*FREE, *also_free(old)))
    except ValueError as error:
        raise UserError(str(error)) from error
    if not changed:
        return
    advice = [
        f"{run_dir} was started with other settings:",
        *(f"  {key}: {then} -> {now}" for key, (then, now) in changed.items()),
        f"Use the old settings to continue it, or another directory: {ELSEWHERE}",
    ]
    if all(key.startswith(MODELS) for key in changed):
        advice.append(
            "To continue it with another model from here on, repeat the old command with "
            "continue_with=NAME (an option of llm); the result will name both."
        )
    raise UserError("\n".join(advice))


def _origin(key: str) -> str:
    for pattern, prefix in ORIGINS.items():
        key = re.sub(pattern, prefix, key)
    return key
