"""The rules by which reference outputs were made without checkpoints."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def fill_rule(golden: Path) -> Any:
    """Return the functions `fill_state` (weights from their names) and `inp` (images)."""
    return runpy.run_path(str(golden / "fill.py"))


@pytest.fixture(scope="session")
def filled(fill_rule: Any) -> Callable[[nn.Module], nn.Module]:
    """Return a function that gives a network the weights of the reference runs."""

    def fill(network: nn.Module) -> nn.Module:
        network.load_state_dict(fill_rule["fill_state"](network.state_dict()))
        return network.eval()

    return fill


@pytest.fixture(scope="session")
def reference_images(fill_rule: Any) -> Callable[[int], torch.Tensor]:
    """Return a function from a resolution to the two images of the reference runs."""
    return lambda resolution: fill_rule["inp"](2, resolution)
