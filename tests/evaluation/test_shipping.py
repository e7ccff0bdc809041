"""What ships can be used by its files alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import collm_nas
from collm_nas.cli.evaluate import command
from collm_nas.data.view import View
from collm_nas.report.evaluations import read
from tests.conftest import ROOT
from tests.evaluation.conftest import asked

SNIPPET = re.search(
    r"```python\n(import json.*?)```", (ROOT / "docs" / "evaluate.md").read_text(), re.DOTALL
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, supernet) -> Path:
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLM_CACHE", str(out / "cache"))
        command.run(asked(supernet, out, "arch=[0,1,2,3,0,1]", "mode=export"))
    return out


def test_all_files_and_an_entry_are_written(shipped):
    assert {path.name for path in (shipped / "export").iterdir()} == {
        "subnet.safetensors", "subnet.json", "model.onnx", "model.pt2"
    }  # fmt: skip
    (entry,) = read(shipped / "evaluation.json")
    assert entry["mode"] == "export"
    assert max(entry["largest_relative_difference"].values()) <= 1e-4
    info = json.loads((shipped / "export" / "subnet.json").read_text())
    assert info["protocol"] == entry["protocol"]
    assert info["input"]["channels"] == "BGR", "as the weights want it"


def test_the_package_has_the_accuracy_that_it_states(shipped):
    from collm_nas.data.digits import Digits
    from collm_nas.data.pixels import pixel_format

    subnet = collm_nas.load_subnet(shipped / "export")
    split = Digits().split("test")
    view = View(subnet.info["input"]["size"], 1.0, "opencv")
    images = np.stack([view.apply(split.read(i), i) for i in range(len(split))])
    x_NCHW = pixel_format("bgr_0_255").apply(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        right = subnet(x_NCHW).argmax(1) == torch.tensor(split.labels)
    accuracy = 100 * right.double().mean().item()
    assert abs(accuracy - subnet.info["metrics"]["test_accuracy"]) < 0.3


def test_the_documented_snippet_classifies_as_the_network_does(shipped, tmp_path, monkeypatch):
    """The snippet knows the files alone; a photograph that is not square makes it crop.

    These weights want OpenCV's interpolation, which the snippet equals up to the last of 255 steps.
    """
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (90, 130, 3), dtype=np.uint8))
    photo.resize((300, 200)).save(tmp_path / "photo.png")
    assert SNIPPET is not None
    code = SNIPPET[1].replace("photo.jpg", str(tmp_path / "photo.png"))
    code = code.replace("runs/mine/export", str(shipped / "export"))
    found: dict[str, Any] = {}
    exec(code, found)
    subnet = collm_nas.load_subnet(shipped / "export")
    photo = Image.open(tmp_path / "photo.png").convert("RGB")
    pixels = View(32, 1.0, "opencv").apply(photo, 0)[..., ::-1].astype(np.float32)
    assert np.abs(found["pixels"] - pixels).max() <= 1
    x_NCHW = torch.from_numpy(found["pixels"].copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = subnet(x_NCHW)[0].numpy()
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-4 * abs(expected).max())
    assert found["label"] == subnet.info["classes"][expected.argmax()]
