import math
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from collm_nas.data import opencv
from collm_nas.data.view import RandomView, View, crop_box
from collm_nas.training.augmentation import RandomCrop

SIZES = [
    (500, 375),
    (375, 500),
    (333, 500),
    (256, 256),
    (60, 47),
    (37, 91),
    (2000, 300),
    (183, 400),
]


def noise(width, height):
    shades = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(shades)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_evaluation_sees_what_torchvision_shows(size, interpolation):
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    for side in (32, 160, 176, 224):
        steps = [
            transforms.Resize(math.ceil(side / 0.875), InterpolationMode(interpolation)),
            transforms.CenterCrop(side),
        ]
        theirs = np.asarray(transforms.Compose(steps)(noise(*size)))
        ours = View(side, interpolation=interpolation).apply(noise(*size), 0)
        assert np.array_equal(ours, theirs), side


def test_opencv_scales_as_opencv_does():
    """The values are from OpenCV 5.0.0; 300 random pairs of sizes were equal to it, too."""
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert opencv.resize(image, 4, 3)[..., 0].tolist() == [
        [197, 88, 165, 195],
        [87, 40, 208, 69],
        [115, 107, 68, 108],
    ]
    assert opencv.resize(image, 9, 8)[:2, :, 1].tolist() == [
        [228, 238, 193, 120, 82, 135, 180, 139, 8],
        [229, 200, 169, 150, 152, 169, 153, 102, 36],
    ]


def test_opencv_has_no_antialiasing():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::4] = 255  # at a quarter of the size, no stripe lies between the pixels used
    assert opencv.resize(stripes, 16, 16).max() == 0


def test_the_view_of_spos_rounds_the_longer_side():
    shown = View(224, interpolation="opencv").apply(noise(500, 333), 0)
    resized = opencv.resize(np.asarray(noise(500, 333)), 384, 256)  # 384.38
    assert np.array_equal(shown, resized[16:240, 80:304])


def test_a_small_image_is_seen_as_it_is():
    image = noise(32, 32)
    for interpolation in ("bilinear", "opencv"):
        assert np.array_equal(View(32, 1.0, interpolation).apply(image, 0), np.asarray(image))


def test_a_random_crop_depends_on_the_seed_and_the_position_alone():
    image = noise(60, 47)
    view = View(32, training=RandomView())
    first = view.apply(image, 5)
    assert first.shape == (32, 32, 3)
    assert np.array_equal(first, view.apply(image, 5))
    assert not np.array_equal(first, view.apply(image, 6))
    assert not np.array_equal(first, replace(view, seed=1).apply(image, 5))


def test_calibration_sees_images_as_a_training_does():
    """The same draws of crop, mirror and colours; `RandomCrop` is tested against torchvision."""
    image, settings = noise(60, 47), {"brightness": 32 / 255, "saturation": 0.5}
    seen = View(32, training=RandomView(**settings), seed=3).apply(image, 8)
    trained = RandomCrop(**settings).draw(image, 32, random.Random("3/8"))
    assert np.array_equal(seen, trained)
    plain = View(32, training=RandomView(), seed=3).apply(image, 8)
    assert not np.array_equal(seen, plain), "colours are shifted"


@pytest.mark.parametrize("size", [(500, 375), (300, 900), (1000, 40), (40, 1000)], ids=str)
def test_boxes_are_distributed_as_those_of_torchvision(size):
    """Quartiles of side, shape and place of 2,000 boxes each; both generators are seeded."""
    import torch
    from torchvision.transforms import RandomResizedCrop

    width, height = size
    scale, ratio = [0.08, 1.0], [3 / 4, 4 / 3]
    image = torch.empty(3, height, width)
    rng = random.Random(0)
    ours = [crop_box(size, (0.08, 1.0), rng) for _ in range(2000)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [
            (left, top, left + w, top + h)
            for top, left, h, w in (
                RandomResizedCrop.get_params(image, scale, ratio) for _ in range(2000)
            )
        ]
    sides = np.array([width, height, width, height])
    quartiles = [
        np.quantile(np.array(boxes) / sides, [0.25, 0.5, 0.75], 0) for boxes in (ours, theirs)
    ]
    assert np.abs(quartiles[0] - quartiles[1]).max() < 0.06
