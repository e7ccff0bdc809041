"""What the entry point decides between composing a config and running it.

Which model `llm=auto` means, which directory a run lives in, and what a replay replays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from collm_nas.cli import session
from collm_nas.config.binding import FREE, changes, composed, fingerprint, stored, with_models
from collm_nas.config.run import CONFIG, UserError
from collm_nas.report.stored import read_run

# overrides that older directories' names leave out
UNNAMED = (
    *("searchspace", "strategy", "llm", "seed", "run_dir", "logger", "workers", "report"),
    *("estimate", "continue_with"),
)
UNNAMED_PREFIXES = ("budget.", "caps.", "logger.", "hydra.", "llm@continue_with", "continue_with.")
# settings that evaluate.py takes from the run it is about
OF_THE_RUN = ("searchspace", "supernet", "data", "evaluator.protocol", "evaluator.changes")


def choose_llm(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with `llm=auto` replaced by the option that it means here.

    Raises:
        UserError: there is no key, no server and no local model. The message names the ways out.
    """
    if cfg.choices.llm != "auto" or not uses_llm(cfg):
        return cfg
    from collm_nas.llm.auto import choose

    choice = choose()
    print(f"llm=auto: using llm={choice}")
    options = [f"llm={choice}", f"choices.llm={choice}"]
    return composed(compose("search", [*_typed(but="llm"), *options]))


def with_other_model(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with the model of `continue_with` in every role, if that is set.

    Raises:
        UserError: there is no such option.
    """
    if cfg.continue_with is None:
        return cfg
    if isinstance(name := cfg.continue_with, str):  # an option by its name
        typed = [*_typed(but="continue_with"), f"llm@continue_with={name}"]
        try:
            node = compose("search", typed).continue_with
        except HydraException as error:
            raise UserError(f"continue_with={name}: there is no such llm. {error}") from error
    else:
        node = cfg.continue_with
    changed = with_models(cfg).copy()
    with open_dict(changed):
        changed.continue_with = node
        for role in changed.strategy.get("models") or {}:
            changed.strategy.models[role] = node.model
    return changed


def _typed(but: str) -> list[str]:
    """List the overrides of this command, except that of a key; Hydra's own, too."""
    overrides = HydraConfig.get().overrides
    return [o for o in (*overrides.hydra, *overrides.task) if not o.startswith(f"{but}=")]


def uses_llm(cfg: DictConfig) -> bool:
    """Tell whether the strategy has a chat model."""
    # llm=auto is not chosen yet, so its model may have no class to go by
    return bool(cfg.strategy.get("models")) or "${llm.model}" in OmegaConf.to_yaml(cfg.strategy)


def choose_run_dir(cfg: DictConfig) -> Path:
    """Return `run_dir`, or a directory of its own for all settings that results depend on."""
    if cfg.run_dir:
        return Path(cfg.run_dir)
    who = cfg.choices.strategy + (f"-{cfg.choices.llm}" if uses_llm(cfg) else "")
    seed, folder = f"seed{cfg.seed}", Path("runs", cfg.choices.searchspace)
    if _is_run(older := folder / _older_name(f"{who}-{seed}")):
        return older
    settings = fingerprint(with_models(cfg), session.FIXED)
    return folder / _safe([who, *_experiment(), seed, settings])


def choose_training_dir(cfg: DictConfig) -> Path:
    """Return `run_dir`, or where the file `supernet` is to be, or a directory of its own."""
    if cfg.run_dir:
        return Path(cfg.run_dir)
    if cfg.supernet != "official":
        return Path(cfg.supernet).expanduser().parent
    from collm_nas.cli.training_run import FIXED

    limit = cfg.trainer.get("limit_train_batches")
    few = [f"first{limit}"] if limit else []  # what is only tried takes no one's place
    recipe, seed = f"train-{cfg.choices.recipe}", f"seed{cfg.seed}"
    folder = Path("runs", cfg.choices.searchspace)
    # names said nothing of other settings then, so they may be those of another command
    older = folder / "-".join([recipe, seed, *few])
    if _is_run(older) and not changes(stored(older / CONFIG), cfg, FIXED, FREE):
        return older
    return folder / _safe([recipe, *_experiment(), seed, *few, fingerprint(cfg, FIXED)])


def _is_run(directory: Path) -> bool:
    return (directory / CONFIG).exists()


def _safe(parts: Sequence[str]) -> str:
    """Return a name that may stand in any command, unquoted."""
    return re.sub(r"[^\w.-]+", "_", "-".join(parts), flags=re.ASCII)


def _experiment() -> list[str]:
    """Return the name of the experiment, if there is one."""
    chosen = HydraConfig.get().runtime.choices.get("experiment")
    return [chosen] if chosen else []


def _older_name(name: str) -> str:
    """Return what a directory was called while names held all overrides that were typed."""
    others = [
        override.lstrip("+").replace("/", ":")
        for override in HydraConfig.get().overrides.task
        if override.lstrip("+").partition("=")[0] not in UNNAMED
        and not override.lstrip("+").startswith(UNNAMED_PREFIXES)
    ]
    return ",".join([name, *others])


def recorded(cfg: DictConfig) -> DictConfig:
    """Return the config of the recorded run `cfg.replay`, answered from its ledger.

    Raises:
        UserError: it is not a run directory.
    """
    source = Path(cfg.replay)
    missing = [n for n in ("config.yaml", "llm_calls.jsonl") if not (source / n).exists()]
    if missing:
        raise UserError(f"replay={source}: no recorded run is there ({', '.join(missing)} missing)")
    try:
        config = stored(source / "config.yaml")
    except ValueError as error:
        raise UserError(str(error)) from error
    old = OmegaConf.merge({"pareto": None}, config)  # older runs have no such setting
    assert isinstance(old, DictConfig)
    with open_dict(old):
        for role in old.strategy.get("models") or {}:
            old.strategy.models[role] = {
                "_target_": "collm_nas.llm.replay.ReplayChat",
                "run": os.fspath(source),
                "role": role,
            }
        name, folder = source.resolve().name, Path("runs", "replay")
        default = folder / name if _is_run(folder / name) else folder / _safe([name])
        old.run_dir = cfg.run_dir or os.fspath(default)
        old.continue_with = None
        for key in ("logger", "estimate", "replay", "report"):
            old[key] = cfg[key]
    return old


def with_settings_of_run(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with what the run `cfg.run` was searched with; what is typed wins.

    Raises:
        UserError: there is no such run.
    """
    if cfg.run is None:
        return cfg
    stored = read_run(Path(cfg.run)).config
    typed = [o.lstrip("+").partition("=")[0] for o in HydraConfig.get().overrides.task]
    merged = cfg.copy()
    with open_dict(merged):
        for key in OF_THE_RUN:
            chosen = any(key == t or key.startswith(f"{t}.") for t in typed)
            if not chosen and (value := OmegaConf.select(stored, key)) is not None:
                OmegaConf.update(merged, key, value, merge=False, force_add=True)
        for key in typed:  # single settings of a node that came from the run
            if key.startswith(tuple(f"{k}." for k in OF_THE_RUN)):
                OmegaConf.update(merged, key, OmegaConf.select(cfg, key), force_add=True)
    return merged
