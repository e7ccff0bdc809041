"""What all tests share: the data of the reference implementations, and one thread for torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("COLLM_SHARED", ROOT.parent / "shared"))

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of values that the original implementations computed."""
    folder = SHARED / "specs" / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set COLLM_SHARED to the folder that holds specs/golden")
    return folder
