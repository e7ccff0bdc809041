"""A subnet leaves the project in three forms, and all of them compute what it computes."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn

import collm_nas
from collm_nas.config.run import build
from collm_nas.data.pixels import PixelFormat, pixel_format
from collm_nas.data.view import View
from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.export.check import ExportMismatch, largest_difference
from collm_nas.export.onnx import OPSET, save_onnx
from collm_nas.export.package import Preprocessing, WrongPackage, save_subnet
from collm_nas.export.program import save_program, trace
from collm_nas.spaces.base import SearchSpace
from collm_nas.testing.networks import untrained
from tests.conftest import ROOT, load

SPACES = [
    "shufflenet_tiny",
    *(
        pytest.param(option, marks=pytest.mark.slow)  # half a dozen seconds each
        for option in ("mobilenet_tiny", "autoformer_tiny32", "nasbench201")
    ),
]
FORMATS = {  # of the pixels of each space's published weights
    "shufflenet_tiny": "bgr_0_255",
    "mobilenet_tiny": "imagenet",
    "autoformer_tiny32": "imagenet_bicubic",
    "nasbench201": "cifar10",
}
CLASSES = [f"class {i}" for i in range(1000)]


def node(option: str) -> dict[str, Any]:
    found = OmegaConf.to_container(load("search", f"searchspace={option}").searchspace)
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
def exported(request, tmp_path_factory) -> tuple[Path, nn.Module, View, PixelFormat]:
    """Write all three forms of one subnet; every form is checked as it is written."""
    space_node = node(request.param)
    wire, size, subnet = folded(build(OmegaConf.create(space_node)))
    folder = tmp_path_factory.mktemp("export")
    batches = [noise(size, 1), noise(size, 8)]
    pixels = pixel_format(FORMATS[request.param])
    view = View(size, interpolation=pixels.interpolation)
    preprocessing = Preprocessing.of(view, pixels)
    save_subnet(folder, subnet, space_node, wire, preprocessing, {"classes": CLASSES})
    program = trace(subnet, size)
    assert save_program(folder / "model.pt2", program, subnet, batches) <= 1e-6
    assert save_onnx(folder / "model.onnx", program, subnet, batches) <= 1e-4
    return folder, subnet, view, pixels


@torch.inference_mode()
def test_a_package_is_read_back_as_the_same_network(exported):
    folder, subnet, view, _ = exported
    loaded = collm_nas.load_subnet(folder)
    assert not loaded.training
    assert loaded.info["classes"] == CLASSES
    images = noise(view.size, 3)
    torch.testing.assert_close(loaded(images), subnet(images), rtol=0, atol=0)


def program_of_the_docs() -> str:
    """Return the Python of docs/evaluate.md that needs nothing of this project."""
    return (
        (ROOT / "docs" / "evaluate.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    )


@pytest.mark.parametrize("size", [(90, 61), (40, 75), (29, 29)])
def test_the_program_of_the_docs_sees_and_says_the_same_as_the_network(exported, size, tmp_path):
    folder, subnet, view, form = exported
    noisy = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noisy).save(tmp_path / "photo.png")
    program = program_of_the_docs().replace("runs/mine/export", str(folder))
    found: dict[str, Any] = {}
    exec(program.replace("photo.jpg", str(tmp_path / "photo.png")), found)

    seen = torch.from_numpy(view.apply(Image.fromarray(noisy), 0).copy())[None].permute(0, 3, 1, 2)
    expected = form.apply(seen)[0].permute(1, 2, 0).numpy()
    last_step = 1.01 / min(form.std) if view.interpolation == "opencv" else 1e-5
    assert np.abs(found["pixels"] - expected).max() <= last_step
    with torch.inference_mode():
        logits = subnet(torch.from_numpy(found["pixels"].copy()).permute(2, 0, 1)[None])[0].numpy()
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4 * np.abs(logits).max())
    assert found["label"] == CLASSES[int(logits.argmax())]


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


def test_a_space_of_another_package_is_built_if_the_caller_names_it(
    exported, tmp_path, monkeypatch
):
    ours = json.loads((exported[0] / "subnet.json").read_text())["space"]
    module, _, name = ours["_target_"].rpartition(".")
    (tmp_path / "their_nas.py").write_text(
        f"from {module} import {name}\nclass Theirs({name}): ..."
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = edited(exported[0], tmp_path, space={**ours, "_target_": "their_nas.Theirs"})
    with pytest.raises(WrongPackage, match=r"load_subnet\(folder, spaces=\['their_nas'\]\)"):
        collm_nas.load_subnet(folder, spaces=["their", "nas"])
    assert "their_nas" not in sys.modules, "nothing of it was imported"
    loaded = collm_nas.load_subnet(folder, spaces=["their_nas"])
    images = noise(exported[2].size, 1)
    torch.testing.assert_close(loaded(images), exported[1](images))
    del sys.modules["their_nas"]


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
