"""A network that is trained on its own begins as in the code of its source."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.stand_alone import Alone, OneNetwork
from collm_nas.spaces.supernet import supernet_class
from tests.training.recipes import searchspace

SPACES = ["shufflenet_tiny", "mobilenet_tiny", "autoformer_tiny32", "nasbench201"]


def one(space: SearchSpace, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Alone(OneNetwork(space, space.sample(random.Random(seed)))).network


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", SPACES)
def test_batch_norms_begin_at_mean_0_and_variance_1_with_affine_weights_of_1(name):
    for norm in norms(one(searchspace(name))):
        assert norm.affine
        assert not norm.running_mean.any()
        assert (norm.running_var == 1).all()
        assert (norm.weight == 1).all()


@pytest.mark.parametrize(
    ("name", "bias"), [("shufflenet_tiny", 1e-4), ("mobilenet_tiny", 0.0), ("nasbench201", 0.0)]
)
def test_biases_of_batch_norms_are_those_of_the_source(name, bias):
    """SPOS sets 1e-4, https://github.com/megvii-model/SinglePathOneShot, `_initialize_weights`."""
    found = norms(one(searchspace(name)))
    assert found
    assert all(torch.equal(norm.bias, torch.full_like(norm.bias, bias)) for norm in found)


def test_weights_of_spos_have_the_deviations_of_the_source():
    """N(0, 0.01) for stem and classifier, N(0, 1 / inputs) for all other convolutions."""
    network = one(searchspace("shufflenet_tiny", "searchspace.channels=[64,128,256,512,512]"))
    wide = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == 1][1:]
    for conv in wide:
        assert conv.weight.std().item() == pytest.approx(1 / conv.weight.shape[1], rel=0.05)
    assert network.first_conv[0].weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert network.classifier[0].weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_a_smaller_kernel_of_once_for_all_is_drawn_by_its_own_size():
    """N(0, 2 / (k k outputs)), whatever the largest kernel of the supernet is."""
    space = searchspace("mobilenet_tiny", "searchspace.base_widths=[64,64,128,128,128,96,128]")
    torch.manual_seed(0)
    arch = space.build({"r": [32], "d": [3, 3, 3], "ks": [3] * 9, "e": [4] * 9})
    network = Alone(OneNetwork(space, arch)).network
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {w.shape[-1] for w in kernels} == {3}
    for weight in kernels[1:]:
        assert weight.std().item() == pytest.approx((2 / (9 * len(weight))) ** 0.5, rel=0.1)


def test_biases_of_transformers_begin_at_zero():
    linear = [m for m in one(searchspace("autoformer_tiny32")).modules() if type(m) is nn.Linear]
    assert linear
    assert not any(layer.bias.any() for layer in linear)


def test_cells_alone_have_no_biases_in_convolutions():
    convolutions = [m for m in one(searchspace("nasbench201")).modules() if type(m) is nn.Conv2d]
    assert convolutions
    assert all(conv.bias is None for conv in convolutions)


@pytest.mark.parametrize("name", SPACES)
def test_it_is_the_network_that_a_supernet_contains(name):
    """Same shapes and names: inherited weights fit into it."""
    space = searchspace(name)
    arch = space.sample(random.Random(3))
    alone = supernet_class(space).stand_alone(space, arch).state_dict()
    cut_out = supernet_class(space)(space).extract(arch).state_dict()
    assert {n: t.shape for n, t in alone.items()} == {n: t.shape for n, t in cut_out.items()}


def test_gelu_is_computed_in_single_precision_under_autocast(monkeypatch):
    """As in https://github.com/microsoft/Cream, whose `gelu` turns its input into float first."""
    space = searchspace("autoformer_tiny32")
    network = one(space).eval()
    gelu, seen = torch.nn.functional.gelu, []

    def watched(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.dtype)
        return gelu(x)

    monkeypatch.setattr(torch.nn.functional, "gelu", watched)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        widened = network.blocks[0].fc1(torch.randn(2, network.head.in_features))
        network(torch.randn(2, 3, 32, 32))
    assert widened.dtype == torch.bfloat16, "what enters it is not"
    assert {*seen} == {torch.float32}
