from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet
from tests.ofa_goldens import (
    TINY,
    fill_module,
    filled_supernet,
    golden,
    largest,
    randomise,
    smallest,
)

torch.set_num_threads(1)


def images(count: int, seed: int) -> Tensor:
    return 2 + torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


class Normalised(nn.Module):
    """A batch norm after another, and a dropout that would spoil the statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_exact_statistics_equal_the_original_code() -> None:
    row, fill = golden("ofa_extra.json")["ofa_w1.0_min160_bn_recal"], fill_module()
    supernet = filled_supernet(1.0, [160])
    subnet = supernet.extract(smallest(supernet.space))
    recalibrate(subnet, [fill.inp(*batch) for batch in row["calibration"]])
    first = subnet.first_conv.bn
    assert first.running_mean[:5].tolist() == pytest.approx(row["bn_first5_mean"], abs=1e-5)
    assert first.running_var[:5].tolist() == pytest.approx(row["bn_first5_var"], abs=1e-5)
    with torch.no_grad():
        found = fill.rec(subnet(fill.inp(2, 160)))
    assert found["first5"] == pytest.approx(row["first5"], abs=1e-5)
    assert found["argmax"] == row["argmax"]


def test_exact_statistics_weigh_batches_by_their_size() -> None:
    net, batches = Normalised(), [images(6, 0), images(2, 1)]
    recalibrate(net, batches)
    means = torch.stack([b.mean((0, 2, 3)) for b in batches])
    variances = torch.stack([b.var((0, 2, 3), correction=0) for b in batches])
    weights = torch.tensor([[6 / 8], [2 / 8]])
    torch.testing.assert_close(net.layers[0].running_mean, (weights * means).sum(0))
    torch.testing.assert_close(net.layers[0].running_var, (weights * variances).sum(0))


def test_moving_average_is_that_of_ordinary_training() -> None:
    net, twin, batches = nn.BatchNorm2d(3), nn.BatchNorm2d(3), [images(4, s) for s in range(5)]
    randomise(net, seed=0)  # what was there before does not matter
    twin.train()
    for batch in batches:
        twin(batch)
    recalibrate(net, batches, "ema")
    torch.testing.assert_close(net.running_mean, twin.running_mean)
    torch.testing.assert_close(net.running_var, twin.running_var)


@pytest.mark.parametrize("estimator", ["exact", "ema"])
def test_only_statistics_change(estimator: str) -> None:
    net = Normalised().eval()
    before = copy.deepcopy(net)
    recalibrate(net, [images(4, 0)], estimator)
    assert not net.training
    assert [m.momentum for m in (net.layers[0], net.layers[2])] == [0.1, 0.1]
    assert not net.layers[0]._forward_hooks
    assert not net.layers[1].training
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, dict(before.named_parameters())[name])


@pytest.mark.parametrize("estimator", ["exact", "ema"])
def test_recalibrating_again_forgets_the_first_time(estimator: str) -> None:
    net, once = Normalised(), Normalised()
    recalibrate(net, [images(4, 0)], estimator)
    recalibrate(net, [images(4, 1)], estimator)
    recalibrate(once, [images(4, 1)], estimator)
    for tensor, expected in zip(net.buffers(), once.buffers(), strict=True):
        assert torch.equal(tensor, expected)


def test_a_network_without_batch_norms_is_left_alone() -> None:
    def batches():
        raise AssertionError("no batch is needed")
        yield

    recalibrate(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), batches())


def test_no_images_are_an_error() -> None:
    with pytest.raises(ValueError, match="no images"):
        recalibrate(Normalised(), [])


def test_an_unknown_estimator_is_an_error() -> None:
    with pytest.raises(ValueError, match="exact or ema, got 'mean'"):
        recalibrate(Normalised(), [images(4, 0)], "mean")


def test_the_supernet_is_not_touched_by_recalibrating_its_subnet() -> None:
    supernet = OFASupernet(MobileNet(**TINY)).eval()
    before = copy.deepcopy(supernet.state_dict())
    recalibrate(supernet.extract(largest(supernet.space)), [torch.randn(4, 3, 32, 32)])
    assert all(torch.equal(before[name], t) for name, t in supernet.state_dict().items())


def test_folding_keeps_the_function_and_leaves_no_batch_norm() -> None:
    supernet = OFASupernet(MobileNet(**TINY)).eval()
    randomise(supernet, seed=0)
    subnet = supernet.extract(largest(supernet.space))
    folded = copy.deepcopy(subnet)
    fold_batch_norms(folded)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), subnet(x), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
