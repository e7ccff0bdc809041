"""Where the classes are today that configs of older runs, recordings and exports name.

A run directory outlives the version that wrote it. When a class moves, its old name goes in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
}  # without `collm_nas.`; the first that a name begins with counts

SORT_CHANNELS = "collm_nas.spaces.mobilenet.supernet.SortChannels"


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
