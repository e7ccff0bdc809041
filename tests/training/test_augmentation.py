import math
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as TF

from collm_nas.data.view import crop_box
from collm_nas.training.augmentation import PaddedCrop, RandomCrop
from tests.training.recipes import recipe

NOISE = np.random.default_rng(0)
PHOTO = Image.fromarray(NOISE.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((160, 120))
SMALL = Image.fromarray(NOISE.integers(1, 256, (32, 32, 3), dtype=np.uint8))
NAMES = ["ofa", "spos", "autoformer", "cell", "light", "digits"]
recipes = pytest.mark.parametrize("name", NAMES)


@recipes
def test_an_image_is_bytes_of_the_size_and_a_function_of_the_seed(name):
    augmentation = recipe(name).augmentation
    first = [augmentation.image(PHOTO, 48, seed) for seed in range(8)]
    assert all(view.shape == (48, 48, 3) and view.dtype == np.uint8 for view in first)
    again = [augmentation.image(PHOTO, 48, seed) for seed in reversed(range(8))][::-1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({view.tobytes() for view in first}) == 8


@recipes
def test_an_augmentation_can_be_sent_to_other_processes(name):
    augmentation = recipe(name).augmentation
    assert pickle.loads(pickle.dumps(augmentation)) == augmentation


@recipes
def test_no_global_generator_is_touched(name):
    augmentation = recipe(name).augmentation
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    for seed in range(5):
        augmentation.image(PHOTO, 32, seed)
        augmentation.batch(torch.randn(4, 3, 8, 8), torch.arange(4), 10, seed)
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
    augmentation.image(PHOTO, 32, 9)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == before


@pytest.mark.parametrize("size", [(160, 120), (50, 400), (32, 32)])
def test_crops_are_distributed_as_torchvisions(size):
    rng = random.Random(0)
    ours = [crop_box(size, (0.08, 1.0), rng) for _ in range(2000)]
    assert all(0 <= left < right <= size[0] for left, _, right, _ in ours)
    assert all(0 <= top < bottom <= size[1] for _, top, _, bottom in ours)
    torch.manual_seed(0)
    image = Image.new("RGB", size)
    theirs = []
    for _ in range(2000):
        top, left, h, w = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        theirs.append((left, top, left + w, top + h))
    for side in range(4):
        pair = [[box[side] for box in boxes] for boxes in (ours, theirs)]
        assert ks_2samp(*pair).pvalue > 1e-3


def test_an_image_too_narrow_for_any_crop_is_cut_in_its_centre():
    rng = random.Random(0)
    assert crop_box((9, 900), (1.0, 1.0), rng) == (0, 444, 9, 456)


def test_colours_are_shifted_as_by_torchvision():
    augmentation = RandomCrop(brightness=32 / 255, saturation=0.5)
    for seed in range(6):
        rng = random.Random(seed)
        left, top, right, bottom = crop_box(PHOTO.size, (0.08, 1.0), rng)
        mirrored = rng.random() < 0.5
        expected = TF.resized_crop(
            PHOTO, top, left, bottom - top, right - left, [64, 64], InterpolationMode.BILINEAR
        )
        expected = TF.hflip(expected) if mirrored else expected
        for change in rng.sample(["brightness", "saturation"], 2):
            strength = 32 / 255 if change == "brightness" else 0.5
            adjust = TF.adjust_brightness if change == "brightness" else TF.adjust_saturation
            expected = adjust(expected, rng.uniform(1 - strength, 1 + strength))
        assert (augmentation.image(PHOTO, 64, seed) == np.asarray(expected)).all()


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_a_colour_leaves_its_factor_of_one_by_up_to_its_strength(kind):
    def spread(view):
        pixels = np.asarray(view, float)
        across = {"brightness": pixels, "contrast": pixels.std(), "saturation": pixels.std(2)}
        return np.mean(across[kind])

    grey = Image.fromarray((np.asarray(SMALL) // 4 + 64).astype(np.uint8))  # so that none clips
    augmentation = RandomCrop(scale=1.0, **{kind: 0.4})
    factors = [spread(augmentation.image(grey, 32, s)) / spread(grey) for s in range(200)]
    crops = [spread(RandomCrop(scale=1.0).image(grey, 32, s)) / spread(grey) for s in range(200)]
    relative = np.array(factors) / np.array(crops)
    assert 0.58 < relative.min() < 0.65
    assert 1.35 < relative.max() < 1.42


def test_spos_shifts_colours_three_ways():
    spos = recipe("spos").augmentation
    assert (spos.brightness, spos.contrast, spos.saturation) == (0.4, 0.4, 0.4)


def test_half_of_the_images_are_mirrored_and_no_digit_is():
    gradient = Image.fromarray(np.tile(np.arange(32, dtype=np.uint8)[None, :, None], (32, 1, 3)))

    def mirrored(augmentation):
        views = [augmentation.image(gradient, 32, seed)[0, :, 0] for seed in range(400)]
        return sum(int(view[0]) > int(view[-1]) for view in views)

    for name in ("light", "ofa", "spos"):
        assert 160 < mirrored(recipe(name).augmentation) < 240
    assert mirrored(recipe("digits").augmentation) == 0


def test_a_padded_crop_moves_the_image_by_up_to_the_padding():
    pixel = np.zeros((16, 16, 3), np.uint8)
    pixel[8, 8] = 255
    places: Counter[tuple[int, int]] = Counter()
    for seed in range(3000):
        view = PaddedCrop(padding=2).image(Image.fromarray(pixel), 16, seed)
        ((y, x),) = np.argwhere(view[..., 0])
        places[y, x] += 1
    assert {y for y, _ in places} == {6, 7, 8, 9, 10}
    assert {x for _, x in places} == {5, 6, 7, 8, 9, 10}, "mirrored, the pixel is one further left"
    rows = Counter(y for y, _ in places.elements())
    assert all(math.isclose(count, 600, abs_tol=100) for count in rows.values())


def test_what_a_padded_crop_uncovers_is_black():
    views = [PaddedCrop(padding=4).image(SMALL, 32, seed) for seed in range(20)]
    assert any((view[0] == 0).all() for view in views)


def test_batches_of_single_images_stay_as_they_are():
    images, labels = torch.randn(3, 3, 4, 4), torch.arange(3)
    unchanged = recipe("ofa").augmentation.batch(images, labels, 10, 0)
    assert unchanged[0] is images
    assert unchanged[1] is labels


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match="scale must be over 0, got 0") as error:
        RandomCrop(scale=0, brightness=-1)
    assert "brightness must be at least 0, got -1" in str(error.value)
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        PaddedCrop(padding=-1)
