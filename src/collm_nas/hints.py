"""What a mistyped override may have meant: Hydra names the wrong key, this names the right ones."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf


@contextmanager
def near_matches_on_failure(conf: Path, config: str) -> Iterator[None]:
    """When Hydra gives up on the command line, print the settings that are spelled nearly so."""
    try:
        yield
    except SystemExit as exit_:
        if exit_.code == 1:
            for hint in near_matches(sys.argv[1:], conf, config):
                print(hint, file=sys.stderr)
        raise


def near_matches(overrides: Sequence[str], conf: Path, config: str) -> list[str]:
    """Return a hint for each override whose key is no setting of `config` but nearly is one.

    Args:
        overrides: the command's arguments, e.g. `["budgt.evaluations=50"]`.
        conf: the directory of the configuration.
    """
    groups = [path.name for path in conf.iterdir() if path.is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        settings = OmegaConf.to_container(compose(config), resolve=False)
    known = list(dict.fromkeys([*groups, *_keys("", settings)]))
    hints = []
    for override in overrides:
        key = override.partition("=")[0]
        if "=" in override and key[0] not in "+~-" and key not in known:
            matches = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
            hints += [f"{key}: did you mean {' or '.join(matches)}?"] if matches else []
    return hints


def _keys(prefix: str, node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield f"{prefix}{key}"
            yield from _keys(f"{prefix}{key}.", child)
