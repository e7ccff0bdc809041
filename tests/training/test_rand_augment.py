import numpy as np
import pytest
import torch
from PIL import Image

from collm_nas.training.rand_augment import RandAugmented
from tests.training.recipes import recipe

PHOTO = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
).resize((64, 64), Image.Resampling.BICUBIC)
LABELS = torch.arange(6)


def batch(seed, **settings):
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16).contiguous()
    settings = {"erasing": 0.0} | settings
    return RandAugmented(**settings).batch(images, LABELS, 10, seed)


def test_the_recipe_of_autoformer_uses_the_published_numbers():
    assert recipe("autoformer").augmentation == RandAugmented(
        "rand-m9-mstd0.5-inc1", 0.08, 0.25, 0.8, 1.0, 0.5, 0.1, 3
    )


def test_views_do_not_fail_at_any_magnitude():
    augmentation = RandAugmented("rand-m10-mstd0.5-inc1", scale=1.0)
    views = [augmentation.image(PHOTO, 32, seed) for seed in range(300)]
    assert all(view.any() for view in views), "posterising keeps at least one bit"


def test_a_batch_is_a_function_of_the_seed():
    (images, targets), (again, same) = batch(3), batch(3)
    assert torch.equal(images, again)
    assert torch.equal(targets, same)
    assert not torch.equal(images, batch(4)[0])


def test_images_that_are_given_are_not_changed():
    images = torch.ones(4, 3, 8, 8)
    RandAugmented(erasing=1.0).batch(images, torch.arange(4), 10, 0)
    assert torch.equal(images, torch.ones(4, 3, 8, 8))


def test_targets_are_distributions_that_name_both_images():
    for seed in range(20):
        _, targets = batch(seed, smoothing=0.1)
        assert torch.allclose(targets.sum(1), torch.ones(6))
        assert targets.min() == pytest.approx(0.01)
        pairs = [{i, 5 - i} for i in range(6)]  # an image is mixed with its mirror in the batch
        assert all(
            set(t.topk(2).indices.tolist()) == p for t, p in zip(targets, pairs, strict=True)
        )


def test_mixup_blends_images_as_its_targets_say():
    for seed in range(10):
        images, targets = batch(seed, cutmix=0.0, smoothing=0.0)
        values = torch.arange(10.0)
        assert torch.allclose(images[:, 0, 0, 0], targets @ values, atol=1e-5)


def test_cutmix_pastes_as_large_a_part_as_its_targets_say():
    for seed in range(10):
        images, targets = batch(seed, mixup=0.0, smoothing=0.0)
        kept = (images[0, 0] == 0).float().mean()
        assert kept.item() == pytest.approx(targets[0, 0].item(), abs=1e-5)


def test_a_quarter_of_the_images_are_partly_erased():
    erased = 0
    for seed in range(40):
        images = torch.zeros(10, 3, 16, 16)
        augmentation = RandAugmented(erasing=0.25, cutmix=0.0)
        mixed, _ = augmentation.batch(images, torch.arange(10), 10, seed)
        erased += (mixed.flatten(1).abs().sum(1) > 0).sum().item()
    # mixup shows an erased part in two images: each of ten with probability 1 - 0.75 ** 2
    assert 0.35 * 400 < erased < 0.53 * 400


def test_an_odd_batch_is_refused():
    with pytest.raises(ValueError, match=r"recipe\.batch_size"):
        RandAugmented().batch(torch.zeros(3, 3, 8, 8), torch.arange(3), 10, 0)


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match="scale") as error:
        RandAugmented("rand-x9", scale=2, erasing=-1, mixup=-1, repeats=0)
    for key in ("policy", "scale", "erasing", "mixup", "repeats"):
        assert f"RandAugmented: {key} " in str(error.value)
    with pytest.raises(ValueError, match="mixup and cutmix must not both be zero"):
        RandAugmented(mixup=0, cutmix=0)
