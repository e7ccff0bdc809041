"""Single precision on GPUs is IEEE's while something is measured or trained, and only then."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.images import Images
from collm_nas.evaluator.inherit import measure
from collm_nas.evaluator.single_precision import ieee_single_precision
from collm_nas.training.module import SupernetTraining
from tests.test_training import train

MATMUL = torch.backends.cuda.matmul


def flags() -> tuple[bool, bool]:
    """Return whether convolutions and products of matrices may use TF32."""
    return torch.backends.cudnn.allow_tf32, MATMUL.allow_tf32


@pytest.fixture(params=[(True, False), (True, True)], autouse=True)
def outside(request):
    """Set the flags as torch has them at first, and as a user may have them."""
    before = flags()
    torch.backends.cudnn.allow_tf32, MATMUL.allow_tf32 = request.param
    yield
    assert flags() == request.param
    torch.backends.cudnn.allow_tf32, MATMUL.allow_tf32 = before


def test_the_flags_are_back_after_an_error_too():
    with pytest.raises(KeyError, match=r"\(False, False\)"), ieee_single_precision():
        raise KeyError(flags())


def test_accuracies_are_measured_in_single_precision():
    seen = []

    class Witness(nn.Linear):
        def forward(self, x_NCHW: Tensor) -> Tensor:
            seen.append(flags())
            return super().forward(x_NCHW.mean((2, 3)))

    images = Images(torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))
    measure(Witness(3, 10), images, pixel_format("cifar10"))
    assert seen == [(False, False)]


def test_a_training_computes_in_single_precision(tmp_path, monkeypatch):
    seen = []
    step = SupernetTraining.training_step

    def witness(self, *batch):
        seen.append(flags())
        return step(self, *batch)

    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(SupernetTraining, "training_step", witness)
    train(tmp_path / "run")
    assert {*seen} == {(False, False)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_convolution_on_a_gpu_is_as_exact_as_on_a_cpu():
    torch.manual_seed(0)
    convolution = nn.Conv2d(256, 256, 3)
    x_NCHW = torch.randn(4, 256, 14, 14)
    exact = convolution.double()(x_NCHW.double())
    with ieee_single_precision(), torch.inference_mode():
        found = convolution.float().cuda()(x_NCHW.cuda()).cpu().double()
    assert float((found - exact).abs().max() / exact.abs().max()) < 1e-5
