"""A subnet leaves the project in three forms, and all of them compute what it computes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

import collm_nas
from collm_nas.config.run import build
from collm_nas.data.pixels import pixel_format
from collm_nas.data.view import View
from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.export.check import ExportMismatch, largest_difference
from collm_nas.export.onnx import OPSET, save_onnx
from collm_nas.export.package import Preprocessing, WrongPackage, save_subnet
from collm_nas.export.program import save_program, trace
from collm_nas.spaces.base import SearchSpace
from collm_nas.testing.networks import untrained
from tests.conftest import load

SPACES = [
    "shufflenet_tiny",
    *(
        pytest.param(option, marks=pytest.mark.slow)  # half a dozen seconds each
        for option in ("mobilenet_tiny", "autoformer_tiny32", "nasbench201")
    ),
]
PREPROCESSING = Preprocessing.of(View(32, 0.875), pixel_format("imagenet"))


def node(option: str) -> dict[str, Any]:
    settings = ["searchspace.names=official"]
    found = OmegaConf.to_container(load("search", f"searchspace={option}", *settings).searchspace)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def noise(size: int, images: int, seed: int = 0) -> Tensor:
    return torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(seed))


def folded(space: SearchSpace) -> tuple[Any, int, nn.Module]:
    """Return an architecture as it is written, its resolution, and its network."""
    arch = space.sample(random.Random(1))
    subnet = untrained(space).float().extract(arch).eval()
    recalibrate(subnet, [noise(space.resolution(arch), 16)])
    fold_batch_norms(subnet)
    return space.encode(arch), space.resolution(arch), subnet


@pytest.fixture(scope="module", params=SPACES)
def exported(request, tmp_path_factory) -> tuple[Path, nn.Module, int]:
    """Write all three forms of one subnet; every form is checked as it is written."""
    space_node = node(request.param)
    wire, size, subnet = folded(build(OmegaConf.create(space_node)))
    folder = tmp_path_factory.mktemp("export")
    batches = [noise(size, 1), noise(size, 8)]
    save_subnet(folder, subnet, space_node, wire, PREPROCESSING, {"classes": ["a"]})
    program = trace(subnet, size)
    assert save_program(folder / "model.pt2", program, subnet, batches) <= 1e-6
    assert save_onnx(folder / "model.onnx", program, subnet, batches) <= 1e-4
    return folder, subnet, size


@torch.inference_mode()
def test_a_package_is_read_back_as_the_same_network(exported):
    folder, subnet, size = exported
    loaded = collm_nas.load_subnet(folder)
    assert not loaded.training
    assert loaded.info["classes"] == ["a"]
    torch.testing.assert_close(loaded(noise(size, 3)), subnet(noise(size, 3)), rtol=0, atol=0)


def test_onnx_takes_any_number_of_images(exported):
    model = onnx.load(exported[0] / "model.onnx")
    assert [o.version for o in model.opset_import if not o.domain] == [OPSET]
    first, *_ = model.graph.input[0].type.tensor_type.shape.dim
    assert first.dim_param == "batch"
    assert {path.name for path in exported[0].iterdir()} == {
        "subnet.safetensors", "subnet.json", "model.onnx", "model.pt2"
    }  # fmt: skip


def test_a_file_that_computes_something_else_is_refused():
    network = nn.Linear(4, 2).eval()
    images = torch.ones(3, 4)
    assert largest_difference(network, network, [images], "same") == 0
    with pytest.raises(ExportMismatch, match=r"model\.onnx computes other logits"):
        largest_difference(network, lambda x: network(x) * 1.001, [images], "model.onnx")
    with pytest.raises(ExportMismatch):
        largest_difference(network, lambda x: network(x) * float("nan"), [images], "nan")


def edited(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """Copy a package with some entries of its JSON changed."""
    info = json.loads((folder / "subnet.json").read_text())
    (tmp_path / "subnet.json").write_text(json.dumps({**info, **changes}))
    (tmp_path / "subnet.safetensors").write_bytes((folder / "subnet.safetensors").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "else"}, "does not describe a subnet"),
        ({"architecture": {"ops": "x"}}, "architecture: "),
        (
            {"space": {"_target_": "os.system", "command": "true"}},
            r"'os\.system' is none of ",
        ),
        ({"space": {"_target_": "collm_nas.spaces.base.resolve"}}, "space: "),
        ({"space": {"_target_": "collm_nas.spaces.base.Variable"}}, "is no search space"),
    ],
)
def test_a_package_that_was_tampered_with_is_refused(exported, changes, message, tmp_path):
    with pytest.raises(WrongPackage, match=message):
        collm_nas.load_subnet(edited(exported[0], tmp_path, **changes))


def test_damaged_or_missing_files_are_named(exported, tmp_path):
    with pytest.raises(WrongPackage, match=r"subnet\.json cannot be read"):
        collm_nas.load_subnet(tmp_path)
    folder = edited(exported[0], tmp_path)
    (folder / "subnet.safetensors").write_bytes(b"half a file")
    with pytest.raises(WrongPackage, match=r"subnet\.safetensors does not hold the weights"):
        collm_nas.load_subnet(folder)


def test_preprocessing_is_told_in_the_order_of_the_channels():
    bgr = Preprocessing.of(View(224, 0.875, "opencv"), pixel_format("bgr_0_255"))
    assert (bgr.resize, bgr.size, bgr.channels, bgr.mean) == (256, 224, "BGR", (0.0, 0.0, 0.0))
    rgb = Preprocessing.of(View(176), pixel_format("imagenet"))
    assert (rgb.resize, rgb.channels, rgb.mean[0]) == (202, "RGB", 123.675)
