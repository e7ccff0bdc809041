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
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from collm_nas.config.renamed import with_current_names

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


def stored(path: Path) -> DictConfig:
    """Read the config of a run, in today's shape.

    Raises:
        ValueError: it is none.
    """
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(config, DictConfig):
        raise ValueError(f"{path} is no config of a run")
    return with_models(OmegaConf.create(with_current_names(OmegaConf.to_container(config))))


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
