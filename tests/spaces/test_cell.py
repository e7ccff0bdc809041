"""NAS-Bench-201's networks against the benchmark's own: names, shapes, parameters, logits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from collm_nas.spaces.nasbench201.network import CellNetwork, ConvOp
from collm_nas.spaces.nasbench201.space import DATASETS, NASBench201, parse_cell_string
from collm_nas.spaces.nasbench201.supernet import CellSupernet
from collm_nas.spaces.supernet import build_supernet
from tests.spaces.golden import assert_golden

BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)
SHORT_NAMES = {"in16": "imagenet16-120"}


def test_state_dict_is_that_of_the_benchmark(golden: Path) -> None:
    known = json.loads((golden / "nb201_best_keys.json").read_text())
    network = CellNetwork(parse_cell_string(BEST), 10)
    assert {name: list(w.shape) for name, w in network.state_dict().items()} == known


def test_logits_and_parameters_are_those_of_the_benchmark(
    golden: Path,
    filled: Callable[[nn.Module], CellNetwork],
    reference_images: Callable[[int], Tensor],
) -> None:
    references = json.loads((golden / "nb201_forward.json").read_text())
    assert references
    for name, reference in references.items():
        cell, _, data = name.partition("@")
        dataset = DATASETS[SHORT_NAMES.get(data, data)]
        network = filled(CellNetwork(parse_cell_string(cell), dataset.classes))
        assert sum(p.numel() for p in network.parameters()) == reference["params"]
        with torch.no_grad():
            assert_golden(network(reference_images(dataset.resolution)), reference)


@pytest.mark.parametrize("dataset", DATASETS)
def test_supernet_fits_the_data_set(dataset: str) -> None:
    space = NASBench201(dataset)
    supernet = build_supernet(space)
    assert isinstance(supernet, CellSupernet)
    arch = space.sample(random.Random(0))
    images = torch.randn(2, 3, *[space.resolution(arch)] * 2)
    with torch.no_grad():
        assert supernet(images, arch).shape == (2, DATASETS[dataset].classes)


def test_searchable_norms_are_not_affine_and_their_convolutions_have_biases() -> None:
    supernet = CellSupernet(NASBench201())
    searchable = supernet.get_submodule("cells.0.layers.0.3")
    assert isinstance(searchable, ConvOp)
    assert {n for n, _ in searchable.named_parameters()} == {"op.1.weight", "op.1.bias"}
    fixed = supernet.get_submodule("cells.5.conv_a")
    assert {n for n, _ in fixed.named_parameters()} == {"op.1.weight", "op.2.weight", "op.2.bias"}
    with_bias = [n for n, _ in supernet.named_parameters() if n.startswith("stem")]
    assert with_bias == ["stem.0.weight", "stem.1.weight", "stem.1.bias"]


def test_cells_share_no_weights() -> None:
    supernet = CellSupernet(NASBench201())
    convs = [n for n, _ in supernet.named_parameters() if n.endswith("layers.0.3.op.1.weight")]
    assert len(convs) == 15


def test_absent_edges_pass_neither_features_nor_gradients() -> None:
    space = NASBench201()
    supernet = CellSupernet(space)
    arch = parse_cell_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    supernet(torch.randn(2, 3, 32, 32), arch).sum().backward()
    reached = {n.partition(".")[0] for n, p in supernet.named_parameters() if p.grad is not None}
    assert "stem" not in reached
    assert "classifier" in reached


def test_extracting_in_train_mode_moves_biases_into_norms() -> None:
    """A bias before a norm changes nothing while the norm sees batches, so it can be dropped."""
    space = NASBench201()
    supernet = CellSupernet(space).double()
    arch, images = space.sample(random.Random(4)), torch.randn(4, 3, 32, 32).double()
    with torch.no_grad():
        for name, weight in supernet.named_parameters():
            if name.endswith("op.1.bias"):
                weight.copy_(torch.randn_like(weight))
        extracted = supernet.extract(arch)
        assert extracted.training
        torch.testing.assert_close(extracted(images), supernet(images, arch))
