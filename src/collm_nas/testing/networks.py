"""Networks whose numbers can be compared: no two weights alike, and in double precision."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import Supernet, build_supernet

STATISTICS = ("running_mean", "running_var")
NAMED = ("weight", "bias", *STATISTICS)  # what torch calls the same in all of its layers


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


def standardised(network: nn.Module) -> nn.Module:
    """Give `network` weights that depend on their shapes alone; return it, in eval mode.

    Equal layers get equal weights wherever they stand, so that two networks that differ in the
    order or the names of their parts, and in nothing else, compute the same.
    """
    network = network.double().eval()
    buffers = [(n, b) for n, b in network.named_buffers() if n.rpartition(".")[2] in STATISTICS]
    with torch.no_grad():
        for name, weight in [*network.named_parameters(), *buffers]:
            kind = name.rpartition(".")[2]
            seed = zlib.crc32(f"{kind if kind in NAMED else ''}{tuple(weight.shape)}".encode())
            draw = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
            weight.copy_(_varied(name, torch.zeros_like(weight), draw.double()))
    return network


def count_macs(network: nn.Module, images: Tensor) -> float:
    """Count the multiply-adds that torch sees when `network` classifies `images`."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(images)
    return counter.get_total_flops() / 2


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


def assert_same(
    actual: Tensor, expected: Tensor, what: str = "logits", tolerance: float = 1e-9
) -> None:
    """Compare logits in double precision, relative to the largest of them.

    Args:
        what: is compared with what, for the message.
    """
    assert actual.shape == expected.shape, (
        f"{what}: the shapes are {[*actual.shape]} and {[*expected.shape]}"
    )
    scale = max(1.0, float(expected.detach().abs().max()))
    most = float((actual - expected).detach().abs().max())
    assert most <= tolerance * scale, (
        f"{what}: the logits, up to {scale:.3g}, differ by up to {most:.3g}"
    )
