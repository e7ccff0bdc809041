"""What the settings of a run mean to it: which bind it, which are free, what their old names are.

Three kinds. `RESOURCES` change no result: they are in no directory's name, and a run goes on with
others. `ADJUSTABLE` change no result that a run already has: they name its directory, but a run
goes on with others. Everything else binds it. The keys are patterns of `fnmatch`; a user's own
class keeps its resources under `resources`.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NotRequired, Required, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from typing_extensions import TypedDict
from yaml import YAMLError

from collm_nas.config.renamed import with_current_names, with_current_settings
from collm_nas.core.files import CorruptFile, require_shape

MISSING = "(not set)"
MODELS = "strategy.models."  # what the keys of a strategy's chat models begin with
RESOURCES = (
    "*.resources.*",
    *(f"{MODELS}*.{key}" for key in ("base_url", "api_key_env", "timeout_s", "retries")),
    *(f"{MODELS}*.{key}" for key in ("threads", "context", "price", "price.*")),
    *("evaluator.device", "evaluator.workers"),
    *(f"pace.{key}" for key in ("log_every_steps", "checkpoint_every_*")),
    *("recipe.precision", "recipe.made_for"),  # trainer.precision binds; a refusal is no result
)
ADJUSTABLE = (
    *(f"{MODELS}*.{key}" for key in ("max_tokens", "max_completion_tokens", "structured")),
    f"{MODELS}*.n_ctx",
    # protocols tell weights and images apart by their content, wherever they lie
    *("evaluator.supernet", "evaluator.data.node.root", "evaluator.data.node.upright"),
)
FREE = (*RESOURCES, *ADJUSTABLE)


def flat(cfg: DictConfig, keys: Sequence[str], without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the leaves of `keys` by their dotted names, except those that match `without`.

    `null` is as good as no entry: a run may be older than a setting.
    """
    found: dict[str, Any] = {}

    def walk(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, child in value.items():
                walk(f"{key}.{name}", child)
        elif value is not None and not any(fnmatchcase(key, pattern) for pattern in without):
            found[key] = value

    for key in keys:
        value = OmegaConf.select(cfg, key)
        walk(
            key,
            OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value,
        )
    return found


def changes(
    old: DictConfig, new: DictConfig, keys: Sequence[str], without: Sequence[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ: what they were and what they are."""
    then, now = flat(old, keys, without), flat(new, keys, without)
    pairs = {k: (then.get(k, MISSING), now.get(k, MISSING)) for k in sorted({*then, *now})}
    return {key: (a, b) for key, (a, b) in pairs.items() if a != b}


def fingerprint(cfg: DictConfig, keys: Sequence[str]) -> str:
    """Return 8 characters that tell apart settings which may lead to other results."""
    text = json.dumps(flat(cfg, keys, RESOURCES), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class StoredNode(TypedDict):
    """What describes an object in the config of a run, besides its settings."""

    _target_: str


class StoredStrategy(StoredNode):
    """The strategy in the config of a run; older ones have models beside its settings."""

    models: NotRequired[dict[str, StoredNode] | None]


class StoredConfig(TypedDict, total=False):
    """What reading a run takes for granted of its config, as far as it is there."""

    searchspace: Required[StoredNode]
    strategy: StoredStrategy
    hardware: StoredNode
    evaluator: StoredNode
    data: StoredNode
    recipe: StoredNode
    trainer: StoredNode
    logger: dict[str, StoredNode | None] | StoredNode
    choices: dict[str, str | None]
    limits: dict[str, float | list[float | None] | None]
    pareto: dict[str, float] | None


def stored(path: Path, needed: Sequence[str] = ()) -> DictConfig:
    """Read the config of a run, in today's shape.

    Args:
        needed: keys that it must have.

    Raises:
        CorruptFile: it is none.
    """
    way_out = "Restore it; or delete it and repeat the run's command, which writes it anew."
    try:
        text = path.read_text(encoding="utf-8")
        config = OmegaConf.create(text)
        content = OmegaConf.to_container(config, resolve=True)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise CorruptFile(path, mark.line + 1 if mark else 1, "it is no YAML", way_out) from error
    except (OSError, ValueError, RecursionError, OmegaConfBaseException) as error:
        raise CorruptFile(path, 1, str(error).partition("\n")[0], way_out) from error
    require_shape(path, text, content, StoredConfig, way_out)
    assert isinstance(config, DictConfig)
    if missing := [key for key in needed if key not in config]:
        raise CorruptFile(path, 1, f"it lacks {', '.join(missing)}", way_out)
    settings = with_current_settings(cast("dict[str, Any]", content))
    return with_models(OmegaConf.create(with_current_names(settings)))


def composed(cfg: DictConfig) -> DictConfig:
    """Return a config that was composed with older files of a user's in today's shape."""
    raw = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))
    today = with_current_names(with_current_settings(raw))
    return cfg if today == raw else OmegaConf.create(today, flags={"struct": True})


def with_models(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with the chat models of its strategy under `strategy.models`, by role.

    A strategy of one's own, or a run from before there was that key, may hold them beside its other
    settings, as in `strategy.critic: ${llm.model}`.
    """
    if not isinstance(cfg.get("strategy"), DictConfig):
        return cfg
    settings = cast("dict[str, Any]", OmegaConf.to_container(cfg.strategy, resolve=True))
    roles = [key for key, value in settings.items() if is_chat_model(value)]
    if not roles:
        return cfg
    moved = {role: settings.pop(role) for role in roles}
    settings["models"] = {**moved, **(settings.get("models") or {})}
    changed = cfg.copy()
    OmegaConf.set_struct(changed, False)
    changed.strategy = settings
    return changed


def is_chat_model(node: Any) -> bool:
    """Tell whether a node describes a chat model: its class has the method `complete`."""
    if not isinstance(node, dict) or "_target_" not in node:
        return False
    try:
        return hasattr(pkgutil.resolve_name(str(node["_target_"])), "complete")
    except (ImportError, AttributeError, ValueError):
        return False  # building it will say so
