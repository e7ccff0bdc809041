"""Golden values of the original once-for-all code, which live outside of this repository."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet

SHARED = Path(os.environ.get("COLLM_SHARED", Path(__file__).parents[2] / "shared"))
TINY = {
    "width": 1.0,
    "resolutions": [32, 48],
    "num_classes": 10,
    "base_widths": [8, 8, 16, 24, 32, 96, 128],
    "choices": {"d": [1, 2, 3], "ks": [3, 5], "e": [2, 3, 4]},
}


def golden_path(name: str) -> Path:
    path = SHARED / "specs" / "golden" / name
    if not path.exists():
        pytest.skip(f"no golden values at {path}: COLLM_SHARED names their folder")
    return path


def golden(name: str) -> Any:
    return json.loads(golden_path(name).read_text())


def fill_module() -> Any:
    """The rule that gave the originals their weights and inputs."""
    spec = importlib.util.spec_from_file_location("fill", golden_path("fill.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled_supernet(width: float, resolutions: list[int]) -> OFASupernet:
    supernet = OFASupernet(MobileNet(width, resolutions)).eval()
    supernet.load_state_dict(fill_module().fill_state(supernet.state_dict()))
    return supernet


def randomise(net: nn.Module, seed: int) -> None:
    """Give all weights, statistics and kernel transforms values that show when they are mixed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                if name.endswith("_matrix"):
                    tensor.add_(0.1 * noise)
                elif name.endswith("running_var"):
                    tensor.copy_(0.5 + noise.abs())
                elif tensor.dim() == 1:
                    tensor.add_(0.1 * noise)


def smallest(space: MobileNet) -> Architecture:
    return space.build({v.name: [min(v.options)] * v.count for v in space.variables})


def largest(space: MobileNet) -> Architecture:
    return space.build({v.name: [max(v.options)] * v.count for v in space.variables})


def wire(genes: dict[str, Any]) -> dict[str, Any]:
    """Turn an architecture of the golden files into what an LLM would write."""
    return {"r": [genes["r"]], **{name: genes[name] for name in ("d", "ks", "e")}}


def relative_error(values: Tensor, expected: Tensor) -> float:
    return float(((values - expected).abs() / expected.abs().clamp(min=1)).max())
