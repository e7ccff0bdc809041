"""What happens to the gradients of a step between the backward passes and the optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn


def fill_missing(parameters: Sequence[nn.Parameter]) -> None:
    """Give parameters that no subnet of the step used a gradient of zero.

    They then still move by weight decay and momentum, as in training code that keeps gradients
    allocated. Without it, they stay as they are.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_over_processes(parameters: Sequence[nn.Parameter]) -> None:
    """Replace all gradients by their mean over the processes, which drew the same subnets.

    One reduction after all backward passes of a step: the reducer of DistributedDataParallel takes
    parameters that the last subnet leaves out for unused, and keeps their local gradients.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view(gradient.shape))
