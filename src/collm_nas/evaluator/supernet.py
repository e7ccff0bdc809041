"""Accuracies measured with the weights that an architecture inherits from a supernet."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from queue import LifoQueue
from typing import Any

import torch

from collm_nas.architecture import Architecture
from collm_nas.data.base import ImageData, Split
from collm_nas.data.cache import cache_dir
from collm_nas.data.pixels import PixelFormat, pixel_format
from collm_nas.evaluator.batchnorm import batch_norms
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.inherit import BATCH, Images, calibrated_subnet, measure
from collm_nas.evaluator.protocol import Protocol, protocol
from collm_nas.evaluator.shared import SharedResults
from collm_nas.evaluator.worker import Worker, WorkerDied
from collm_nas.problem import EvaluationFailed, Metrics
from collm_nas.searchspace.base import SearchSpace
from collm_nas.supernet.alone import NORMS
from collm_nas.supernet.base import Supernet, supernet_class
from collm_nas.supernet.checkpoint import load_supernet, supernet_info
from collm_nas.supernet.download import WeightsUnavailable, supernet_file

ATTEMPTS = 2  # at a candidate whose process dies
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


class CannotEvaluate(ValueError):
    """The weights or images are missing, or do not fit each other; the message says all of it."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that was found to fit its space."""

    path: Path
    space: SearchSpace
    sha256: str
    pixels: str  # name of the format in which they want their images
    normalised: bool  # whether they have batch norms that need statistics of their own
    classes: int


@dataclass(frozen=True)
class Measurement:
    """Everything that an accuracy depends on but the architecture."""

    weights: Weights
    images: ProtocolImages
    device: str

    @property
    def name(self) -> str:
        """Name the protocol, and by a hash all else that results depend on."""
        protocol, kind = self.images.protocol, torch.device(self.device).type
        digest = protocol.digest(
            self.weights.sha256,
            self.weights.space.identity,
            self.weights.pixels,
            *self.images.identity,
            kind,
            BATCH[kind],
        )
        return f"{protocol.name}:{digest}"

    @property
    def description(self) -> str:
        """Say what is really done: a split may hold fewer images than the protocol asks for."""
        images, protocol = self.images, self.images.protocol
        ranking = _told(images.ranked_by, protocol.images, images.ranking_split)
        if not self.calibrates:
            return f"{ranking}; no batch norms"
        calibration = _told(images.calibrated_with, protocol.bn_images, images.bn_split)
        return f"{ranking}; batch norms: {protocol.bn} over {calibration}"

    def start(self, threads: int) -> Callable[[Architecture], Metrics]:
        """Load the weights into this process; return what measures an architecture with them."""
        _keep_freed_memory()
        torch.set_num_threads(1)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        supernet = load_supernet(self.weights.path, self.weights.space).eval().to(self.device)
        pixels = pixel_format(self.weights.pixels)
        return partial(self._measure, supernet, pixels, cache(self.images_of), threads)

    def images_of(self, size: int, workers: int = 1) -> tuple[Images, Images]:
        """Return the images to rank and to calibrate with; `workers` decode what is missing."""
        ranking = self.images.ranking(size, workers)
        return ranking, self.images.calibration(size, workers) if self.calibrates else ranking

    @property
    def calibrates(self) -> bool:
        """Tell whether there are batch norms to calibrate."""
        return self.weights.normalised and self.images.protocol.bn != "none"

    def _measure(
        self,
        supernet: Supernet,
        pixels: PixelFormat,
        images_of: Callable[[int], tuple[Images, Images]],
        threads: int,
        arch: Architecture,
    ) -> Metrics:
        protocol = self.images.protocol
        ranking, calibration = images_of(self.weights.space.resolution(arch))
        try:
            subnet = calibrated_subnet(supernet, arch, protocol, pixels, calibration, threads)
            found = measure(subnet, ranking, pixels, protocol.precision, threads)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise EvaluationFailed(f"not enough memory: {error}") from error
        objective = protocol.objective
        return {objective: found.top1, objective.replace("accuracy", "top5"): found.top5}


class SupernetEvaluator:
    """Measures subnets with inherited weights, several at a time, each in a process.

    Equal architectures get equal numbers, to the last digit, whatever `workers` is and whatever
    was evaluated before. What any search has measured in the same way is looked up.

    Args:
        supernet: a file of weights, or `official`; see `supernet_file`.
        data: builds the data set.
        protocol: a name in `PROTOCOLS`.
        changes: settings of the protocol that are to be different.
        device: `cpu`, `cuda`, or `auto`: cuda where it is available.
        workers: processes; on CPUs they share the cores, on GPUs they take turns in using them.

    Raises:
        CannotEvaluate: something is missing or does not fit; the message says all that is wrong.
    """

    def __init__(
        self,
        space: SearchSpace,
        supernet: str,
        data: Callable[[], ImageData],
        protocol: str,
        changes: Mapping[str, Any],
        device: str,
        workers: int,
    ) -> None:
        kind = _device(device)
        weights, images = _find(space, supernet, data, protocol, changes)
        self.measurement = Measurement(weights, images, kind)
        self.objective = images.protocol.objective
        self.protocol = self.measurement.name
        self.images, self.description = images.ranked_by, self.measurement.description
        file_name = self.protocol.rpartition(":")[2] + ".jsonl"
        self._shared = SharedResults(
            cache_dir() / "evaluations" / space.identity / file_name, self.protocol
        )
        self._cores = len(os.sched_getaffinity(0))
        self._decode = cache(partial(self.measurement.images_of, workers=self._cores))
        self._free: LifoQueue[Worker[Architecture, Metrics]] = LifoQueue()
        for index in reversed(range(workers)):
            self._free.put(Worker(self._make(index, workers)))

    def evaluate(self, arch: Architecture) -> Metrics:
        """See `Evaluator`; e.g. `{"val_accuracy": 71.3, "val_top5": 90.2}`."""
        if (known := self._shared.find(arch)) is not None:
            return known
        self._decode(self.measurement.weights.space.resolution(arch))
        worker = self._free.get()
        try:
            metrics = _ask(worker, arch)
        finally:
            self._free.put(worker)
        self._shared.store(arch, metrics)
        return metrics

    def _make(self, index: int, workers: int) -> Callable[[], Callable[[Architecture], Metrics]]:
        if self.measurement.device == "cpu":
            return partial(self.measurement.start, max(1, self._cores // workers))
        device = f"cuda:{index % torch.cuda.device_count()}"
        return partial(replace(self.measurement, device=device).start, 1)


def _told(used: int, asked: int | None, split: Split) -> str:
    few = f" ({asked:,} asked for)" if asked and asked > used else ""
    return f"{used:,} images of {split.name}{few}"


def _ask(worker: Worker[Architecture, Metrics], arch: Architecture) -> Metrics:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return worker.ask(arch)
        except WorkerDied as death:
            if attempt == ATTEMPTS:
                raise EvaluationFailed(f"its process died {ATTEMPTS} times: {death}") from None
    raise AssertionError


def _keep_freed_memory() -> None:
    """Let this process use the memory of freed tensors again, instead of giving it back.

    glibc returns large blocks to the system at once, and with fresh ones the system's page faults
    take more time than the arithmetic of calibrating batch norms. Other C libraries do not.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _device(device: str) -> str:
    available = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"evaluator.device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not available:
        raise ValueError("evaluator.device=cuda, but torch finds no GPU here; choose cpu or auto")
    return "cuda" if available and device != "cpu" else "cpu"


def _find(
    space: SearchSpace,
    supernet: str,
    data: Callable[[], ImageData],
    protocol_name: str,
    changes: Mapping[str, Any],
) -> tuple[Weights, ProtocolImages]:
    """Find weights and images.

    Raises:
        CannotEvaluate: see there.
    """
    problems: list[str] = []
    weights = images = None
    try:
        weights = _weights(space, supernet)
    except (WeightsUnavailable, OSError, ValueError) as error:
        problems.append(f"weights: {error}")
    try:
        dataset = data()
        own = {"bn": "none"} if weights and supernet_info(weights.path).get(NORMS) == "own" else {}
        chosen = protocol(protocol_name, **{**changes, **own})
        images = ProtocolImages.of(chosen, dataset, cache_dir() / "images")
        problems += _misfits(weights, dataset, images.protocol) if weights else []
    except ValueError as error:
        problems.append(f"images: {error}")
    if problems or weights is None or images is None:
        raise CannotEvaluate("\n".join(problems))
    return weights, images


def _weights(space: SearchSpace, supernet: str) -> Weights:
    path = supernet_file(supernet, space)
    loaded = load_supernet(path, space).eval()
    info = supernet_info(path)
    pixels = info.get("pixels", supernet_class(space).input_format)
    pixel_format(pixels)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    arch = space.sample(random.Random(0))
    side = space.resolution(arch)
    with torch.inference_mode():
        classes = loaded(torch.zeros(1, 3, side, side), arch).shape[1]
    normalised = bool(batch_norms(loaded)) and info.get(NORMS) != "own"
    return Weights(path, space, sha256, pixels, normalised, classes)


def _misfits(weights: Weights, data: ImageData, protocol: Protocol) -> list[str]:
    """Say in what the images and their protocol do not fit the weights."""
    problems = []
    if weights.classes != len(data.classes):
        problems.append(
            f"the data set has {len(data.classes)} classes, the supernet {weights.classes}: choose "
            "other images (config key: data), or a supernet of so many classes "
            "(searchspace.num_classes)"
        )
    elif trained := supernet_info(weights.path).get("classes"):
        pairs = zip(json.loads(trained), data.classes, strict=True)
        if differing := [(was, now) for was, now in pairs if was != now]:
            was, now = differing[0]
            problems.append(
                f"{weights.path} was trained to tell other classes apart: {was} where the data "
                f"set has {now}, for one (config keys: supernet, data)"
            )
    if weights.normalised and protocol.bn == "none":
        problems.append(
            f"protocol {protocol.name} calibrates no batch norms, and the supernet has some: its "
            "subnets would be near chance. Choose another (config key: evaluator.protocol)"
        )
    return problems
