"""Optimisers, and which parameters decay: the papers' code has a rule of its own each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import BelowOne, NotNegative, Positive

Decay = Literal["all", "weights", "ofa", "spos", "autoformer"]

# Each rule tells from a parameter's name and dimensions whether it decays.
DECAY_RULES: Mapping[Decay, Callable[[str, int], bool]] = {
    "all": lambda name, dims: True,
    # Convolutions and linear layers. Not the tables of positions, nor matrices whose neutral
    # element is not zero: OFA's kernel transformations.
    "weights": lambda name, dims: dims > 1 and name.endswith("weight"),
    # https://github.com/mit-han-lab/once-for-all: all but names with "bn" or "bias". So kernel
    # transformations decay, towards zero.
    "ofa": lambda name, dims: not ("bn" in name or "bias" in name),
    # https://github.com/megvii-model/SinglePathOneShot: names with "weight", if not vectors.
    "spos": lambda name, dims: dims > 1 and "weight" in name,
    # https://github.com/microsoft/Cream: not vectors, nor positions and class token. A third
    # name of theirs, rel_pos_embed, is no parameter's: tables of relative positions decay.
    "autoformer": lambda name, dims: dims > 1 and name not in ("pos_embed", "cls_token"),
}


class OptimizerRecipe(Protocol):
    """Builds the optimiser of a network."""

    def build(self, network: nn.Module, lr: float) -> Optimizer:
        """Return a new optimiser of all parameters; the schedule changes `lr` later."""


@checked
@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum.

    Args:
        weight_decay: L2 penalty, added to the gradient.
        decay: what it acts on, a name in `DECAY_RULES`.
    """

    momentum: BelowOne = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    decay: Decay = "weights"

    def build(self, network: nn.Module, lr: float) -> Optimizer:
        groups = decay_groups(network, self.weight_decay, self.decay)
        return torch.optim.SGD(groups, lr, momentum=self.momentum, nesterov=self.nesterov)


@checked
@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay.

    Args:
        weight_decay: a step shrinks weights by this times the learning rate.
        decay: what it acts on, a name in `DECAY_RULES`.
        betas: of the two moving averages.
        eps: added to the denominator.
    """

    weight_decay: NotNegative = 0.0
    decay: Decay = "weights"
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: Positive = 1e-8

    def build(self, network: nn.Module, lr: float) -> Optimizer:
        groups = decay_groups(network, self.weight_decay, self.decay)
        first, second = self.betas
        return torch.optim.AdamW(groups, lr, betas=(first, second), eps=self.eps)


def decay_groups(network: nn.Module, weight_decay: float, rule: Decay) -> list[dict[str, Any]]:
    """Split the trainable parameters into those that decay and those that do not."""
    decays = DECAY_RULES[rule]
    split: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            split[decays(name, parameter.ndim)].append(parameter)
    groups = [
        {"params": split[True], "weight_decay": weight_decay},
        {"params": split[False], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
