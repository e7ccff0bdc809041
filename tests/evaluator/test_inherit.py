"""The accuracy of a subnet is a pure function of weights, images and protocol."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from collm_nas.core.problem import EvaluationFailed
from collm_nas.data.digits import Digits
from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.images import Images, ProtocolImages
from collm_nas.evaluator.inherit import BATCH, Accuracy, calibrated_subnet, measure
from collm_nas.evaluator.protocol import protocol
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.supernet import Supernet, build_supernet

torch.set_num_threads(1)
PIXELS = pixel_format("imagenet")
SPACE = ShuffleNet(repeats=[1, 2, 1], channels=[8, 16, 32, 64, 96], num_classes=10, resolution=32)
ARCH = SPACE.sample(random.Random(3))


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACE).eval()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ProtocolImages:
    clean = protocol("clean", bn_batch=96, bn_images=300)
    return ProtocolImages.of(clean, Digits(), tmp_path_factory.mktemp("images"), PIXELS, None)


class Always(nn.Module):
    """A network with one answer."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x_NCHW), -1)


def some_images(labels: list[int]) -> Images:
    return Images(torch.zeros(len(labels), 8, 8, 3, dtype=torch.uint8), torch.tensor(labels))


def test_right_answers_are_counted() -> None:
    network = Always([0.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    labels = [1] * 30 + [5] * 50 + [0] * 70  # in several batches, the last one incomplete
    assert measure(network, some_images(labels), PIXELS) == Accuracy(20.0, 8000 / 150, 150)


def test_with_few_classes_all_are_among_the_first_five() -> None:
    assert measure(Always([1.0, 0.0]), some_images([0, 1, 1, 1]), PIXELS) == Accuracy(
        25.0, 100.0, 4
    )


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_no_accuracy(wrong: float) -> None:
    with pytest.raises(EvaluationFailed, match="not finite"):
        measure(Always([1.0, wrong]), some_images([0]), PIXELS)


def test_the_number_of_threads_changes_not_a_bit(
    supernet: Supernet, images: ProtocolImages
) -> None:
    ranking = images.ranking(32)
    found = []
    for threads in (1, 2, 5):
        subnet = calibrated_subnet(supernet, ARCH, 32, images, threads)
        with torch.inference_mode():
            batches = ranking.batches(BATCH["cpu"], PIXELS, torch.device("cpu"))
            logits = torch.cat([subnet(x_NCHW) for x_NCHW, _ in batches])
        found.append((logits, measure(subnet, ranking, PIXELS, threads=threads)))
    for logits, accuracy in found[1:]:
        assert torch.equal(logits, found[0][0])
        assert accuracy == found[0][1]
    right = (found[0][0].argmax(1) == ranking.labels).sum()
    assert found[0][1].top1 == 100 * int(right) / 300


def test_the_supernet_is_not_changed(supernet: Supernet, images: ProtocolImages) -> None:
    before = copy.deepcopy(supernet.state_dict())
    calibrated_subnet(supernet, ARCH, 32, images, threads=2)
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())


def test_images_come_in_the_layout_and_scale_of_the_network(images: ProtocolImages) -> None:
    ranking = images.ranking(32)
    (x_NCHW, labels), *_ = ranking.batches(7, PIXELS, torch.device("cpu"))
    assert x_NCHW.shape == (7, 3, 32, 32)
    assert x_NCHW.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == list(Digits().split("search_val").labels[:7])
    first = Digits().split("search_val").read(0).resize((32, 32), 2)
    red = torch.from_numpy(np.array(first)[:, :, 0])
    torch.testing.assert_close(x_NCHW[0, 0], (red - 123.675) / 58.395)
