"""What several tests need: the config options, and the data of the reference implementations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))

torch.set_num_threads(1)


def options(group: str) -> list[str]:
    """List the options of a config group."""
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


def config(group: str, option: str) -> DictConfig:
    """Compose one option of a group, as the commands do."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(f"{group}/{option}")[group]


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of values that the original implementations computed."""
    folder = SHARED / "specs" / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set COLLM_SHARED to the folder that holds specs/golden")
    return folder
