"""Networks whose numbers can be compared: no two weights alike, and in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from collm_nas.searchspace.base import SearchSpace
from collm_nas.supernet.base import Supernet, build_supernet


def untrained(space: SearchSpace) -> Supernet:
    """Build the supernet of `space` in eval mode, with weights that make every mistake visible.

    A fresh network hides some: its batch norms are alike, its biases zero. Double precision tells
    a wrong number from a rounding error.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = build_supernet(space).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in [*supernet.named_parameters(), *supernet.named_buffers()]:
            if weight.is_floating_point():
                draw = torch.randn(weight.shape, generator=generator).double()
                weight.copy_(_varied(name, weight, draw))
    return supernet


def noise(*shape: int, seed: int) -> Tensor:
    """Draw standard normal numbers in double precision, the same ones every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def _varied(name: str, weight: Tensor, draw: Tensor) -> Tensor:
    """Keep the activations of deep networks near one, whatever their initialisation."""
    match name.rpartition(".")[2]:
        case "running_var":
            return 0.5 + draw.abs()
        case "weight" if weight.dim() > 1:
            return draw / math.sqrt(weight[0].numel())
        case "weight":
            return 1 + 0.1 * draw
        case _:
            return weight + 0.1 * draw


def assert_same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Compare logits in double precision, relative to the largest of them."""
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)
