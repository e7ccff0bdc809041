"""SPOS's supernet against the original one: names, shapes, logits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from collm_nas.spaces.checkpoint import load_supernet
from collm_nas.spaces.shufflenet.network import SPOSNetwork
from collm_nas.spaces.shufflenet.published import PUBLISHED
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.shufflenet.supernet import SPOSSupernet
from collm_nas.spaces.supernet import build_supernet
from tests.spaces.golden import assert_golden


@pytest.fixture(scope="module")
def space() -> ShuffleNet:
    return ShuffleNet()


@pytest.fixture(scope="module")
def supernet(space: ShuffleNet) -> SPOSSupernet:
    supernet = build_supernet(space)
    assert isinstance(supernet, SPOSSupernet)
    return supernet.eval()


def test_state_dict_is_that_of_the_original(supernet: SPOSSupernet, golden: Path) -> None:
    known = json.loads((golden / "spos_keys.json").read_text())
    assert {name: list(w.shape) for name, w in supernet.state_dict().items()} == known
    assert len(known) == 1_337
    assert sum(p.numel() for p in supernet.parameters()) == 8_388_176


def test_published_file_loads(tmp_path: Path) -> None:
    space = ShuffleNet(repeats=[2], channels=[4, 8, 8], num_classes=3, resolution=32)
    supernet = SPOSSupernet(space)
    published = {f"module.{name}": w for name, w in supernet.state_dict().items()}
    torch.save({"state_dict": published}, tmp_path / "checkpoint.pth.tar")
    loaded = load_supernet(tmp_path / "checkpoint.pth.tar", space).state_dict()
    for name, weight in supernet.state_dict().items():
        assert torch.equal(loaded[name], weight)


def test_only_the_published_space_knows_where_its_weights_are(
    space: ShuffleNet, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"BGR.*SinglePathOneShot"):
        load_supernet(tmp_path / "none.pth.tar", space)
    with pytest.raises(FileNotFoundError, match=r"No weights .* for shufflenet-1-4\.8\.8-c1000"):
        load_supernet(tmp_path / "none.pth.tar", ShuffleNet(repeats=[1], channels=[4, 8, 8]))


def test_logits_are_those_of_the_original(
    space: ShuffleNet,
    golden: Path,
    filled: Callable[[nn.Module], SPOSSupernet],
    reference_images: Callable[[int], Tensor],
) -> None:
    supernet, images = filled(SPOSSupernet(space)), reference_images(224)
    references = json.loads((golden / "spos_forward.json").read_text())
    with torch.no_grad():
        for reference in references.values():
            arch = space.decode(reference["arch"])
            assert_golden(supernet(images, arch), reference)
            assert_golden(supernet.extract(arch)(images), reference)


def test_extracted_network_has_the_names_of_the_stand_alone_template(
    space: ShuffleNet, supernet: SPOSSupernet
) -> None:
    arch = space.decode(PUBLISHED["spos_readme"].written)
    extracted, fresh = supernet.extract(arch), SPOSNetwork(space, arch)
    shapes = {name: w.shape for name, w in extracted.state_dict().items()}
    assert shapes == {name: w.shape for name, w in fresh.state_dict().items()}
    assert "features.0.branch_proj.0.weight" in shapes
    assert "features.1.branch_main.1.bias" in shapes  # affine, unlike in the supernet
    assert all(p.requires_grad for p in extracted.parameters())


def test_extracting_draws_no_random_numbers(space: ShuffleNet, supernet: SPOSSupernet) -> None:
    before = torch.get_rng_state()
    supernet.extract(space.sample(random.Random(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_initialisation_is_that_of_the_original(space: ShuffleNet, supernet: SPOSSupernet) -> None:
    def deviation(name: str) -> float:
        return supernet.get_parameter(name).detach().std().item()

    assert deviation("first_conv.0.weight") == pytest.approx(0.01, rel=0.1)
    assert deviation("features.16.0.branch_main.0.weight") == pytest.approx(1 / 320, rel=0.02)
    assert deviation("features.16.0.branch_main.3.weight") == pytest.approx(1, rel=0.05)
    assert deviation("classifier.0.weight") == pytest.approx(0.01, rel=0.02)
    norm = SPOSNetwork(space, space.sample(random.Random(0))).get_submodule("conv_last.1")
    assert norm.weight.eq(1).all()
    assert norm.bias.eq(1e-4).all()


def test_even_channels_pass_a_block_of_stride_1_untouched(supernet: SPOSSupernet) -> None:
    images = torch.randn(1, 64, 8, 8)
    output = supernet.get_submodule("features.1.0")(images)
    assert torch.equal(output[:, :32], images[:, 0::2])


def test_only_the_sampled_path_gets_gradients(space: ShuffleNet) -> None:
    tiny = ShuffleNet(repeats=[2, 2], channels=[4, 8, 16, 16], num_classes=3, resolution=32)
    supernet = SPOSSupernet(tiny)
    supernet(torch.randn(4, 3, 32, 32), tiny.decode([3, 0, 2, 1])).sum().backward()
    with_gradient = {n for n, p in supernet.named_parameters() if p.grad is not None}
    paths = {tuple(n.split(".")[1:3]) for n in with_gradient if n.startswith("features")}
    assert paths == {("0", "3"), ("1", "0"), ("2", "2"), ("3", "1")}


def test_input_format_is_recorded() -> None:
    assert SPOSSupernet.input_format == "bgr_0_255"


def test_wrong_resolution_still_classifies(supernet: SPOSSupernet, space: ShuffleNet) -> None:
    arch: Any = space.sample(random.Random(1))
    with torch.no_grad():
        assert supernet(torch.randn(1, 3, 96, 96), arch).shape == (1, 1000)
