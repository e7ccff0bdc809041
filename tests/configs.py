"""The options of the config groups, composed as the commands compose them."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"


def options(group: str) -> list[str]:
    """List the options of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def config(group: str, option: str) -> DictConfig:
    """Compose one option of a group."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(f"{group}/{option}")[group]
