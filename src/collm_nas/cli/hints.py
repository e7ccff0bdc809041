"""What a mistyped override may have meant: Hydra names the wrong key, this names the right ones."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf


def near_matches(overrides: Sequence[str], conf: Path, config: str) -> list[str]:
    """Return a hint for each override whose key or option does not exist but nearly does.

    The settings that exist are those of the options that were chosen.

    Args:
        overrides: the command's arguments, e.g. `["budgt.evaluations=50"]`.
        conf: the directory of the configuration; others may be in `hydra.searchpath`.
    """
    search_path = [o for o in overrides if o.startswith("hydra.searchpath=")]
    groups = _options(conf, search_path)
    pairs = [o.partition("=")[::2] for o in overrides if "=" in o and not o.startswith("hydra.")]
    options = {key: value.split(",") for key, value in pairs if _group(key) in groups}
    chosen = {k: [v for v in vs if v in groups[_group(k)]] for k, vs in options.items()}
    first = {key: values[0] for key, values in chosen.items() if values}
    known = {*groups, *_keys_of(conf, config, search_path, first)}
    for key, value in ((k, v) for k, vs in chosen.items() for v in vs[1:]):
        known |= _keys_of(conf, config, search_path, {**first, key: value})
    hints = []
    for key, _ in pairs:
        if key[0] not in "+~" and key not in known:
            hints += _key_hint(key, known)
    for key, values in options.items():
        for value in values:
            if value not in {*groups[_group(key)], "null"}:
                hints += _hint(f"{key}=", value, groups[_group(key)])
    return hints


def _options(conf: Path, search_path: Sequence[str]) -> dict[str, set[str]]:
    """List the options of each group, in `conf` and in what `hydra.searchpath` names."""
    folders = [conf]
    for override in OverridesParser.create().parse_overrides(list(search_path)):
        places = override.value()
        for place in places if isinstance(places, list) else []:
            kind, _, name = str(place).partition("://")
            spec = find_spec(name) if kind == "pkg" else None
            folders += map(Path, spec.submodule_search_locations or () if spec else [name])
    options: defaultdict[str, set[str]] = defaultdict(set)
    for file in (file for folder in folders for file in folder.glob("*/*.yaml")):
        options[file.parent.name].add(file.stem)
    return options


def _group(key: str) -> str:
    """Return the group that an override may choose from: `llm` of `+llm@my_llm`."""
    return key.lstrip("+").partition("@")[0]


def _key_hint(key: str, known: set[str]) -> list[str]:
    """Name the nearest settings of the same node; all of them if none is near."""
    parent, dot, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent}
    if siblings and dot:
        every = [f"{key}: there is no such setting; {parent} has {', '.join(sorted(siblings))}"]
        return _hint(parent + dot, name, siblings) or every
    return _hint("", key, {k for k in known if k.count(".") == key.count(".")})


def _hint(start: str, word: str, known: set[str]) -> list[str]:
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return [f"{start}{word}: did you mean {start}{near[0]}?"] if near else []


def _keys_of(
    conf: Path, config: str, search_path: Sequence[str], options: Mapping[str, str]
) -> set[str]:
    """Return all dotted keys of a config; none if the options do not go together."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        try:
            chosen = [f"{key}={value}" for key, value in options.items()]
            composed = compose(config, [*search_path, *chosen])
        except HydraException:
            return set()
    return {*_keys("", OmegaConf.to_container(composed, resolve=False))}


def _keys(prefix: str, node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield f"{prefix}{key}"
            yield from _keys(f"{prefix}{key}.", child)
