"""Training batches as functions of the seed and the step.

A run that continues at any step sees the images, in the order, of the size and with the
augmentation that an undisturbed one sees, whatever the number of workers and processes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from collm_nas.data.base import Split
from collm_nas.data.view import Pixels
from collm_nas.training.augmentation import Augmentation
from collm_nas.training.seeds import key

Example = tuple[Pixels, int]  # bytes (size, size, 3), label


class Item(NamedTuple):
    """One image of a batch."""

    image: int  # its place in the split
    size: int  # side in pixels
    position: int  # in the endless stream of images of a training: draws are keyed by it


class StepBatches(Sampler[list[Item]]):
    """The batch of each step: consecutive pieces of one endless stream.

    The stream is one random order of all images after the other, so that every batch is full.
    An epoch is as many views as there are images: with `repeats`, of fewer images, so many times
    each (repeated augmentation; Hoffer et al., 2020, https://arxiv.org/abs/1901.09335).

    Args:
        images: how many there are.
        batch: images of a step, over all processes.
        size: returns the side of the images of a step, in pixels.
        repeats: views of an image that follow each other.
        seed: of the training.
        steps: those to yield.
        rank: of this process, which gets an equal share of every batch.
        world: how many processes there are.
        micro_batch: what the share of a process is made of; `None`: anything.

    Raises:
        ValueError: the batch cannot be shared equally, or not in whole micro-batches.
    """

    def __init__(
        self,
        images: int,
        batch: int,
        size: Callable[[int], int],
        seed: int,
        steps: range,
        repeats: int = 1,
        rank: int = 0,
        world: int = 1,
        micro_batch: int | None = None,
    ) -> None:
        if batch < world or batch % world:
            raise ValueError(
                f"recipe.batch_size must be a multiple of the {world} processes (trainer.devices, "
                f"num_nodes), got {batch}"
            )
        if micro_batch and batch // world % micro_batch:
            raise ValueError(
                f"each of {world} processes gets {batch // world} images of a step, which are no "
                f"micro-batches of {micro_batch} (recipe.micro_batch): batch norms would see "
                "others than in the recipe. Use a number of processes (trainer.devices, num_nodes) "
                f"that divides {batch // micro_batch}, or change recipe.micro_batch and know that "
                "it is another training"
            )
        self.images, self.batch, self.size = images, batch, size
        self.seed, self.steps, self.repeats = seed, steps, repeats
        self.share = range(rank, batch, world)  # so that views of an image are spread

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Item]]:
        return map(self.at, self.steps)

    def at(self, step: int) -> list[Item]:
        """Return this process's share of the batch of a step."""
        size, start = self.size(step), step * self.batch
        return [Item(self._image(start + offset), size, start + offset) for offset in self.share]

    def _image(self, position: int) -> int:
        epoch, index = divmod(position, self.images)
        return int(_order(self.images, self.seed, epoch)[index // self.repeats])


@lru_cache(maxsize=2)
def _order(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng(key(seed, "order", epoch)).permutation(images)


class AugmentedImages(Dataset[Example]):
    """Decodes and augments the images that `StepBatches` names."""

    def __init__(self, split: Split, augmentation: Augmentation, seed: int) -> None:
        self.split, self.augmentation, self.seed = split, augmentation, seed

    def __getitem__(self, item: Item) -> Example:
        seed = key(self.seed, "image", item.position)
        pixels = self.augmentation.image(self.split.read(item.image), item.size, seed)
        return pixels, self.split.labels[item.image]


def batches(
    images: AugmentedImages, order: StepBatches, workers: int, pin: bool
) -> DataLoader[Example]:
    """Return a loader of bytes (N, H, W, 3) and labels (N,), in the given order.

    Args:
        workers: processes that decode ahead; 0 decodes in this one.
        pin: whether batches go to a GPU.
    """
    return DataLoader(
        images,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_stack,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_signals_to_the_main_process,
    )


def _stack(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    pixels, labels = zip(*examples, strict=True)
    return torch.from_numpy(np.stack(pixels)), torch.tensor(labels)


def _leave_signals_to_the_main_process(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
