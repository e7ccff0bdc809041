"""The strong augmentation of vision transformers (DeiT, AutoFormer), by timm's operations.

timm draws from the global generators of Python, NumPy and torch. Here they are seeded for one
call, and then go on as if nothing had happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, cast

import numpy as np
import torch
from annotated_types import MinLen
from PIL import Image
from pydantic import AfterValidator
from timm.data.auto_augment import RandAugment, rand_augment_transform
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, NotNegative, Share
from collm_nas.data.view import PILLOW, Area, Pixels
from collm_nas.training.augmentation import maybe_mirrored, random_crop

LevelFunction = Callable[[float, dict[str, Any]], tuple[int]]
MEAN = (124, 116, 104)  # of ImageNet; what moving and rotating an image uncovers


def _of_timm(policy: str) -> str:
    try:
        _operations(policy, 224)
    except (AssertionError, ValueError, NotImplementedError) as error:
        raise ValueError(f"is not one of timm's RandAugment: {policy!r}") from error
    return policy


Policy = Annotated[str, MinLen(1), AfterValidator(_of_timm)]


@checked
@dataclass(frozen=True)
class RandAugmented:
    """A bicubic random crop, a mirror, RandAugment, random erasing; then mixup or cutmix.

    Args:
        policy: RandAugment's, in timm's notation.
        scale: the least part of the image's area that a crop covers.
        erasing: the probability that noise covers a part of an image.
        mixup: alpha of the beta distribution that blends two images; 0: none.
        cutmix: alpha of the one that pastes a part of one image into another; 0: none.
        switch: the probability of cutmix where both are on.
        smoothing: of the labels of all batches.
        repeats: views of an image that follow each other (Hoffer et al., 2020,
            https://arxiv.org/abs/1901.09335).
    """

    policy: Policy = "rand-m9-mstd0.5-inc1"
    scale: Area = 0.08
    erasing: Share = 0.25
    mixup: NotNegative = 0.8
    cutmix: NotNegative = 1.0
    switch: Share = 0.5
    smoothing: Share = 0.1
    repeats: Count = 3

    def __post_init__(self) -> None:
        if not self.mixup + self.cutmix:
            raise ValueError("recipe.augmentation.mixup and cutmix must not both be zero")

    def image(self, image: Image.Image, size: int, rng_seed: int) -> Pixels:
        rng = random.Random(rng_seed)
        view = maybe_mirrored(random_crop(image, size, self.scale, "bicubic", rng), rng)
        with _seeded(rng.getrandbits(32)):
            return np.asarray(_operations(self.policy, size)(view))

    def batch(
        self, images_NCHW: Tensor, labels: Tensor, classes: int, rng_seed: int
    ) -> tuple[Tensor, Tensor]:
        """See `Augmentation`; the batch must have an even number of images.

        Raises:
            ValueError: it has not.
        """
        if len(labels) % 2:
            raise ValueError(
                f"mixup needs an even number of images on every process, got {len(labels)}: change "
                "recipe.batch_size"
            )
        device = images_NCHW.device
        erase: Any = RandomErasing(self.erasing, mode="pixel", device=str(device))  # type: ignore[no-untyped-call]
        mix: Any = Mixup(  # type: ignore[no-untyped-call]
            self.mixup,
            self.cutmix,
            switch_prob=self.switch,
            label_smoothing=self.smoothing,
            num_classes=classes,
        )
        with _seeded(rng_seed), _torch_seeded(rng_seed, device):
            mixed: tuple[Tensor, Tensor] = mix(erase(images_NCHW.clone()), labels)
            return mixed


@lru_cache(maxsize=64)
def _operations(policy: str, size: int) -> RandAugment:
    hints = {
        "translate_const": int(size * 0.45),
        "img_mean": MEAN,
        "interpolation": PILLOW["bicubic"],
    }
    transform = cast(RandAugment, rand_augment_transform(policy, hints))
    for operation in transform.ops:
        if operation.name == "PosterizeIncreasing":
            operation.level_fn = _at_least_one_bit(operation.level_fn)
    return transform


def _at_least_one_bit(level_fn: LevelFunction) -> LevelFunction:
    """Never keep 0 bits of each colour: that made black images, and newer Pillows refuse it."""
    return lambda magnitude, hints: (max(1, level_fn(magnitude, hints)[0]),)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python and NumPy for the block, and put them back."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


@contextmanager
def _torch_seeded(seed: int, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed % 2**63)
        yield
