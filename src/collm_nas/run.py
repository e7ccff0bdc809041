"""What the commands share: building objects from config nodes, and run directories.

A run directory is the memory of one search: repeating a command continues it, so it refuses
settings that would change results half way, and a second process at the same time.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from collm_nas.arguments import key_of, node_problems
from collm_nas.files import write_atomically

MISSING = "(not set)"
# what a node took over from elsewhere -> the key that sets it
ORIGINS = {
    r"^strategy\.(navigator|generator|llm)\.": "llm.model.",
    r"^evaluator\.data\.node\.": "data.",
}
# ends of keys that change no result; the evaluator's protocol tells files apart by their content
DESCRIPTIONS = ("config.yaml", "environment.json")  # files of a run that hold no results
FREE = (
    *("timeout_s", "retries", "threads", "api_key_env"),
    *("log_every_steps", "checkpoint_every_steps", "checkpoint_every_seconds"),
    *("recipe.precision", "recipe.made_for"),  # trainer.precision binds; a refusal is no result
    *("evaluator.supernet", "evaluator.data.node.root", "evaluator.device", "evaluator.workers"),
    "evaluator.data.node.upright",
)


class UserError(Exception):
    """Something the user can mend. The message says what was wrong, where, and what to do."""


class Fruitless(Exception):
    """The search is over and nothing it was given could be read. The message says what it was."""


class Stopped(Exception):
    """The search stopped before its end. The message says why; the same command continues it."""


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
def open_run(cfg: DictConfig, run_dir: Path, fixed: Sequence[str]) -> Iterator[Path]:
    """Create or reopen `run_dir` and hold it while the block runs.

    Args:
        fixed: the config keys that results depend on; they may not change between two visits.

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
            f"directory: run_dir=…"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write to {run_dir}: {error}. Choose another: run_dir=…") from error
    try:
        _refuse_changes(cfg, run_dir, fixed)
        write_atomically(run_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
        yield run_dir
    except UserError:
        if {path.name for path in run_dir.iterdir()} <= {".lock", *DESCRIPTIONS}:
            (run_dir / "config.yaml").unlink()  # nothing depends on settings that did not work
        raise
    finally:
        lock.release()


def environment() -> dict[str, Any]:
    """Describe what results may depend on besides the config: versions and the machine."""
    installed = {d.metadata["name"]: d.version for d in metadata.distributions()}
    return {
        "collm_nas": installed.get("collm-nas", "not installed"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": dict(sorted(installed.items())),
    }


def _refuse_missing(cfg: DictConfig, fixed: Sequence[str]) -> None:
    missing = {_origin(key) for key, value in _flat(cfg, fixed, free=()).items() if value == "???"}
    if missing:
        raise UserError("\n".join(f"{key} is not set: {key}=…" for key in sorted(missing)))


def _refuse_changes(cfg: DictConfig, run_dir: Path, fixed: Sequence[str]) -> None:
    path = run_dir / "config.yaml"
    if not path.exists():
        return
    saved = _flat(OmegaConf.load(path), fixed)
    now = _flat(cfg, fixed)
    changed = [
        f"  {key}: {saved.get(key, MISSING)} -> {now.get(key, MISSING)}"
        for key in sorted({*saved, *now})
        if saved.get(key, MISSING) != now.get(key, MISSING)
    ]
    if changed:
        raise UserError(
            "\n".join(
                [
                    f"{run_dir} was started with other settings:",
                    *changed,
                    "Use the old settings to continue it, or another directory: run_dir=…",
                ]
            )
        )


def _origin(key: str) -> str:
    for pattern, prefix in ORIGINS.items():
        key = re.sub(pattern, prefix, key)
    return key


def _flat(cfg: Any, keys: Sequence[str], free: tuple[str, ...] = FREE) -> dict[str, Any]:
    """Return the leaves of `keys` by their dotted names, without those that end in `free`.

    `null` is as good as no entry: a run may be older than a setting.
    """
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, child in value.items():
                walk(f"{prefix}.{key}" if prefix else key, child)
        elif value is not None and not prefix.endswith(free):
            flat[prefix] = value

    walk("", values)
    chosen = tuple(f"{key}." for key in keys)
    return {key: value for key, value in flat.items() if f"{key}.".startswith(chosen)}
