"""The closed form of activation memory against a pass over the extracted subnet."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from collm_nas.config.run import build
from collm_nas.core.problem import Limit, Problem
from collm_nas.hardware.memory import ActivationMemory
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.supernet import build_supernet
from tests.conftest import load

SPACES = ("shufflenet_tiny", "mobilenet_tiny", "autoformer_tiny32")
LARGE = tuple(
    pytest.param(name, marks=pytest.mark.slow) for name in ("shufflenet", "mobilenet", "autoformer")
)


def measured_bytes(subnet: nn.Module, side: int) -> int:
    """Watch every convolution and linear layer while one image passes."""
    seen = [0]

    def watch(_: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen.append(inputs[0].nbytes + output.nbytes)

    for module in subnet.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(watch)
    with torch.inference_mode():
        subnet(torch.zeros(1, 3, side, side))
    return max(seen)


@pytest.mark.parametrize("name", [*SPACES, *LARGE])
def test_the_closed_form_is_what_a_pass_over_the_subnet_needs(name: str) -> None:
    space: SearchSpace = build(load("search", f"searchspace={name}").searchspace)
    supernet, rng, model = build_supernet(space).eval(), random.Random(0), ActivationMemory(space)
    for _ in range(5):
        arch = space.sample(rng)
        measured = measured_bytes(supernet.extract(arch), space.resolution(arch))
        assert model.costs(arch)["activation_bytes"] == measured


def test_it_can_be_limited_together_with_other_costs() -> None:
    space = ShuffleNet()
    limits = (Limit("activation_bytes", maximum=1.5e6), Limit("macs", 300e6, 330e6))
    problem = Problem(space, ActivationMemory(space), limits)
    for seed in range(5):
        costs = problem.hardware.costs(problem.sample(random.Random(seed)))
        assert costs["activation_bytes"] <= 1.5e6
        assert 300e6 <= costs["macs"] <= 330e6


def test_a_space_without_a_closed_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nasbench201 cannot tell.*hardware=closed_form"):
        ActivationMemory(NASBench201())
