"""Where the classes and settings are today that older runs, exports and commands name.

A run directory outlives the version that wrote it. When a class or a setting moves, its old name
goes in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeGuard

from collm_nas.core.checkout import conf_dir

MOVED = {
    "searchspace.autoformer.": "spaces.autoformer.space.",
    "searchspace.mobilenet.": "spaces.mobilenet.space.",
    "searchspace.nasbench201.": "spaces.nasbench201.space.",
    "searchspace.shufflenet.": "spaces.shufflenet.space.",
    "supernet.alone.": "spaces.stand_alone.",
    "recipe.base.": "training.recipe.",
    "recipe.": "training.",
    "hardware.table.": "spaces.nasbench201.table_costs.",
    "hardware.ofa_lookup.": "spaces.mobilenet.ofa_lookup.",
    "llm.scripted.": "fake_llm.scripted.",
    "evaluator.tabular_select_on_test.SelectOnTestEvaluator": "evaluator.table.TabularEvaluator",
    "evaluator.tabular.": "evaluator.table.",
    "evaluator.predictor.PredictorEvaluator": "evaluator.predictor.evaluator.PredictorEvaluator",
}  # without `collm_nas.`; the first that a name begins with counts

SELECT_ON_TEST = "collm_nas.evaluator.tabular_select_on_test.SelectOnTestEvaluator"
SORT_CHANNELS = "collm_nas.spaces.mobilenet.supernet.SortChannels"
PROMPTING = {  # setting of `prompting` -> where it stood before there was that; the later counts
    "prompts": ("llm.asking.prompts", "strategy.prompts"),
    "names": ("llm.asking.names", "searchspace.names"),
    "order_seed": ("searchspace.order_seed",),
    "one_by_one": ("llm.asking.one_by_one", "strategy.asking.one_by_one"),
    "memory": ("llm.asking.memory", "strategy.navigator_memory"),
    "examples": ("llm.asking.examples", "strategy.asking.examples"),
}
UNSAID: dict[str, Any] = {  # what held in a run of then that does not say
    "_target_": "collm_nas.prompting.settings.Prompting",
    "prompts": "paper",
    "names": "official",
    "order_seed": None,
    "one_by_one": False,
    "memory": True,
    "examples": 0,
}
WANDB = ("project", "entity", "group", "job_type", "tags")  # settings, once of `logger` itself
SPELLING = ("names", "order_seed")  # settings that spaces had
ABSENT = object()
ARGUMENT = re.compile(r"([+~]*)([\w.]+)(=.*)?", re.DOTALL)


def current_name(target: str) -> str:
    """Return today's name of a class or function; e.g. for `collm_nas.training.recipe.Phase`."""
    package, _, name = target.partition(".")
    if package == "collm_nas":
        for old, new in MOVED.items():
            if name.startswith(old):
                return f"{package}.{new}{name.removeprefix(old)}"
    return target


def with_current_names(node: Any) -> Any:
    """Return a node of a config as it is written today, with every `_target_` in it."""
    if isinstance(node, Mapping):
        if node.get("_target_") == SELECT_ON_TEST:  # a class, before it was a setting
            node = {**node, "split": "test"}
        if "sort_channels" in node:  # of a phase of a recipe, before `prepare`
            sort = {"_target_": SORT_CHANNELS, "expansions": node["sort_channels"]}
            kept = {key: value for key, value in node.items() if key != "sort_channels"}
            return with_current_names(kept | {"prepare": node["sort_channels"] and sort})
        return {
            key: current_name(value)
            if key == "_target_" and isinstance(value, str)
            else with_current_names(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [with_current_names(value) for value in node]
    return node


def with_current_keys(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command with today's keys: `prompting.names=…`.

    Where another package's space or strategy is chosen, its settings are its own.
    """
    today = {old: f"prompting.{new}" for new, olds in PROMPTING.items() for old in olds}
    today |= {f"logger.{setting}": f"logger.wandb.{setting}" for setting in WANDB}
    for group in ("searchspace", "strategy"):
        ours = {path.stem for path in (conf_dir() / group).glob("*.yaml")}
        typed = [a.removeprefix(f"{group}=") for a in arguments if a.startswith(f"{group}=")]
        if not ours.issuperset(option for options in typed for option in options.split(",")):
            today = {old: new for old, new in today.items() if not old.startswith(f"{group}.")}
    found = [(ARGUMENT.fullmatch(argument), argument) for argument in arguments]
    return [
        f"{match[1]}{today[match[2]]}{match[3] or ''}" if match and match[2] in today else argument
        for match, argument in found
    ]


def with_current_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with what it says of prompting and loggers where it stands today.

    It is that of an older run, or was composed with an older file of a user's. Spaces and
    strategies that are not of this package keep their settings.
    """
    changed: dict[str, Any] = deepcopy(dict(config))
    _name_loggers(changed)
    is_stored = "prompting" not in changed
    found, is_prompted = {}, False
    for setting, olds in PROMPTING.items():
        for old in olds:
            value = _pop(changed, old)
            refers = isinstance(value, str) and "${llm.asking" in value
            # older strategies had a copy of what the model's file said, or did without
            if value is ABSENT or refers or (is_stored and old.startswith("llm.")):
                continue
            found[setting] = value
            is_prompted |= old.startswith("strategy.")
    if "asking" in (llm := changed.get("llm") or {}):
        del llm["asking"]
    if _is_ours(strategy := changed.get("strategy")):
        if "asking" in strategy or is_prompted:
            strategy.setdefault("prompting", "${prompting}")
            is_prompted = True
        strategy.pop("asking", None)
    if found or is_prompted:
        changed["prompting"] = {**(UNSAID if is_stored else changed["prompting"]), **found}
    return {key: _without_names(value) for key, value in changed.items()}


def _name_loggers(config: dict[str, Any]) -> None:
    """Name the loggers where a config has one node, or settings of it without a name."""
    if isinstance(choices := config.get("choices"), dict):
        choices.pop("logger", None)
    if not isinstance(logger := config.get("logger"), dict):
        return
    if "_target_" in logger:
        config["logger"] = {"logger": logger}
    elif loose := {key: logger.pop(key) for key in WANDB if key in logger}:
        logger["wandb"] = {**(logger.get("wandb") or {}), **loose}


def _pop(config: dict[str, Any], key: str) -> Any:
    """Take a value out of nested mappings."""
    *parents, name = key.split(".")
    node: Any = config
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
        if parent in ("searchspace", "strategy") and not _is_ours(node):
            return ABSENT
    return node.pop(name, ABSENT) if isinstance(node, dict) else ABSENT


def _is_ours(node: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(node, dict) and str(node.get("_target_")).partition(".")[0] == "collm_nas"


def _without_names(node: Any) -> Any:
    """Return nodes of models that hold a space of ours with the names under `prompting`."""
    if isinstance(node, list):
        return [_without_names(value) for value in node]
    if not isinstance(node, dict):
        return node
    space = node.get("space")
    if _is_ours(space) and {*SPELLING} & {*space}:
        plain = {k: v for k, v in space.items() if k not in SPELLING}
        node = {**node, "space": plain, "prompting": "${prompting}"}
    return {key: _without_names(value) for key, value in node.items()}
