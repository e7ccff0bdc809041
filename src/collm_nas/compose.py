"""What the entry point decides between composing a config and running it.

Which model `llm=auto` means, which directory a run lives in, and what a replay replays.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from collm_nas.report.stored import read_run
from collm_nas.run import UserError
from collm_nas.session import ROLES

# overrides that the directory's name says already, or that results do not depend on
UNNAMED = (
    "searchspace",
    "strategy",
    "llm",
    "seed",
    "run_dir",
    "logger",
    "workers",
    "report",
    "estimate",
)
# settings that evaluate.py takes from the run it is about
OF_THE_RUN = ("searchspace", "supernet", "data", "evaluator.protocol", "evaluator.changes")
UNNAMED_PREFIXES = ("budget.", "caps.", "logger.", "hydra.")


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
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("llm=")]
    return compose("search", [*overrides, f"llm={choice}", f"choices.llm={choice}"])


def uses_llm(cfg: DictConfig) -> bool:
    """Tell whether the strategy has a chat model."""
    raw = OmegaConf.to_container(cfg.strategy, resolve=False)
    assert isinstance(raw, dict)
    return any(role in raw for role in ROLES)


def choose_run_dir(cfg: DictConfig) -> Path:
    """Return `run_dir`, or a readable directory of its own for each choice of settings."""
    if cfg.run_dir:
        return Path(cfg.run_dir)
    name = cfg.choices.strategy + (f"-{cfg.choices.llm}" if uses_llm(cfg) else "")
    others = [
        override.lstrip("+").replace("/", ":")
        for override in HydraConfig.get().overrides.task
        if override.lstrip("+").partition("=")[0] not in UNNAMED
        and not override.lstrip("+").startswith(UNNAMED_PREFIXES)
    ]
    return Path("runs", cfg.choices.searchspace, ",".join([f"{name}-seed{cfg.seed}", *others]))


def choose_training_dir(cfg: DictConfig) -> Path:
    """Return `run_dir`, or where the file `supernet` is to be, or a readable directory."""
    if cfg.run_dir:
        return Path(cfg.run_dir)
    if cfg.supernet != "official":
        return Path(cfg.supernet).expanduser().parent
    limit = cfg.trainer.get("limit_train_batches")
    few = f"-first{limit}" if limit else ""  # what is only tried takes no one's place
    choices = cfg.choices
    return Path("runs", choices.searchspace, f"train-{choices.recipe}-seed{cfg.seed}{few}")


def recorded(cfg: DictConfig) -> DictConfig:
    """Return the config of the recorded run `cfg.replay`, answered from its ledger.

    Raises:
        UserError: it is not a run directory.
    """
    source = Path(cfg.replay)
    missing = [n for n in ("config.yaml", "llm_calls.jsonl") if not (source / n).exists()]
    if missing:
        raise UserError(f"replay={source}: no recorded run is there ({', '.join(missing)} missing)")
    old = OmegaConf.load(source / "config.yaml")
    assert isinstance(old, DictConfig)
    old = OmegaConf.merge({"pareto": None}, old)  # older runs have no such setting
    assert isinstance(old, DictConfig)
    with open_dict(old):
        for role in ROLES:
            if role in old.strategy:
                old.strategy[role] = {
                    "_target_": "collm_nas.llm.replay.ReplayChat",
                    "run": os.fspath(source),
                }
        old.run_dir = cfg.run_dir or f"runs/replay/{source.resolve().name}"
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
