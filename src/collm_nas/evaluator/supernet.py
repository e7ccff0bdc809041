"""Accuracies measured with the weights that an architecture inherits from a supernet."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from queue import LifoQueue
from typing import Any, Literal

import torch

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.cache import cache_dir
from collm_nas.core.problem import EvaluationFailed, Metrics
from collm_nas.core.ranges import Text, Workers
from collm_nas.data.base import ImageData, Split
from collm_nas.data.pixels import pixel_format
from collm_nas.data.view import RandomView
from collm_nas.evaluator.batchnorm import batch_norms
from collm_nas.evaluator.cache import SharedResults
from collm_nas.evaluator.images import ProtocolImages
from collm_nas.evaluator.inherit import BATCH, inherited_accuracy
from collm_nas.evaluator.pool import Worker, WorkerDied
from collm_nas.evaluator.protocol import PROTOCOLS, Changes, Protocol, ProtocolName, protocol
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import FORMAT, info_of, load_supernet, supernet_info
from collm_nas.spaces.download import WeightsUnavailable, supernet_file
from collm_nas.spaces.stand_alone import NORMS
from collm_nas.spaces.supernet import Supernet, supernet_class

# whether the weights were trained on the images that candidates are ranked by
Seen = Literal["", "training_images", "perhaps_trained_on"]
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
    pixels: str  # name of the format in which their images are given to them
    normalised: bool  # whether they have batch norms that need statistics of their own
    classes: int
    training_view: RandomView | None  # see `calibration_view`
    unseen: frozenset[str] | None  # digests of splits not trained on; `None`: of released weights


@dataclass(frozen=True)
class Measurement:
    """Everything that an accuracy depends on but the architecture."""

    weights: Weights
    images: ProtocolImages
    device: str
    seen: Seen = ""

    @property
    def name(self) -> str:
        """Name the protocol as it was really carried out, and by a hash all that results depend on.

        Two names with the same hash are of the same measurement.
        """
        images, kind = self.images, torch.device(self.device).type
        protocol, facts = images.protocol, dict[str, object]()
        if images.ranked_by < (protocol.images or 0):
            facts["images"] = images.ranked_by
        if self.calibrates and images.calibrated_with < protocol.bn_images:
            facts["bn_images"] = images.calibrated_with
        if self.seen:
            facts["ranking"] = self.seen
        digest = protocol.digest(
            self.weights.sha256,
            self.weights.space.identity,
            self.weights.pixels,
            *self.images.identity,
            kind,
            BATCH[kind],
            view=images.bn_view,
        )
        return f"{protocol.name_with(**facts)}:{digest}"

    @property
    def cautions(self) -> tuple[str, ...]:
        """Say what a reader of these accuracies must know, in sentences."""
        protocol, split = self.images.protocol, self.images.ranking_split.name
        base = PROTOCOLS[protocol.name.partition(",")[0]]
        found = []
        if self.seen == "training_images":
            found.append(
                f"NOT HELD OUT: these weights were trained on the images of {split}, so that "
                f"accuracies on them are too high and rank by memory, too. {_way_out(self)}"
            )
        elif self.seen:
            found.append(
                f"PERHAPS NOT HELD OUT: the images of {split} are not those that were held out "
                "when these weights were trained, and some may have been trained on (config keys: "
                "data, supernet)"
            )
        if base.ranking not in (protocol.ranking, "search_val") and protocol.ranking != "test":
            found.append(
                f"these images have no {base.ranking}, by which protocol {base.name} ranks: "
                f"candidates are ranked by {split}"
            )
        given = protocol.interpolation, pixel_format(self.weights.pixels).interpolation
        if given[0] != given[1]:
            found.append(f"images are scaled by {given[0]}; the weights are used to {given[1]}")
        if protocol.pixels:
            found.append(f"pixels are given as {protocol.pixels}, not as the weights are used to")
        return tuple(found)

    @property
    def description(self) -> str:
        """Say what is really done: a split may hold fewer images than the protocol asks for."""
        images, protocol = self.images, self.images.protocol
        ranking = _images_used(images.ranked_by, protocol.images, images.ranking_split)
        if not self.calibrates:
            return f"{ranking}; no batch norms"
        calibration = _images_used(images.calibrated_with, protocol.bn_images, images.bn_split)
        view = "random views, as in training" if images.bn_view else "centres"
        return f"{ranking}; batch norms: {protocol.bn} over {calibration} ({view})"

    def shared_results(self) -> SharedResults:
        """Open what all searches of this machine measured so."""
        folder = cache_dir() / "evaluations" / self.weights.space.identity
        digest = self.name.rpartition(":")[2]
        return SharedResults(folder / f"{digest}.jsonl", self.name)

    def start(self, threads: int) -> Callable[[Architecture], Metrics]:
        """Load the weights into this process; return what measures an architecture with them."""
        _keep_freed_memory()
        torch.set_num_threads(1)
        torch.backends.cudnn.deterministic = True
        supernet = load_supernet(self.weights.path, self.weights.space).eval().to(self.device)
        return partial(self._measure, supernet, threads)

    def decode(self, size: int, threads: int) -> None:
        """Decode the images of this size, so that worker processes only map them."""
        self.images.ranking(size, threads)
        if self.calibrates:
            self.images.calibration(size, threads)

    @property
    def calibrates(self) -> bool:
        """Tell whether there are batch norms to calibrate."""
        return self.weights.normalised and self.images.protocol.bn != "none"

    def _measure(self, supernet: Supernet, threads: int, arch: Architecture) -> Metrics:
        size = self.weights.space.resolution(arch)
        try:
            return inherited_accuracy(supernet, arch, size, self.images, threads)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise EvaluationFailed(f"not enough memory: {error}") from error


@checked
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

    report_mode = "inherit"

    def __init__(
        self,
        space: SearchSpace,
        supernet: Text,
        data: Callable[[], ImageData],
        protocol: ProtocolName,
        changes: Changes,
        device: Literal["auto", "cpu", "cuda"],
        workers: Workers,
    ) -> None:
        kind = _device(device)
        self._space = space
        weights, images, seen = _find(space, supernet, data, protocol, changes)
        self.measurement = Measurement(weights, images, kind, seen)
        self.objective = images.protocol.objective
        self.protocol = self.measurement.name
        self.images, self.description = images.ranked_by, self.measurement.description
        self.cautions = self.measurement.cautions
        self._shared = self.measurement.shared_results()
        self._cores = len(os.sched_getaffinity(0))
        self._free: LifoQueue[Worker[Architecture, Metrics]] = LifoQueue()
        for index in reversed(range(workers)):
            self._free.put(Worker(self._make(index, workers)))

    def evaluate(self, arch: Architecture) -> Metrics:
        """See `Evaluator`; e.g. `{"val_accuracy": 71.3, "val_top5": 90.2}`."""
        resolution = self._space.resolution(arch)
        if (known := self._shared.find(arch, resolution)) is not None:
            return known
        self.measurement.decode(resolution, self._cores)
        worker = self._free.get()
        try:
            metrics = _ask(worker, arch)
        finally:
            self._free.put(worker)
        self._shared.store(arch, resolution, metrics)
        return metrics

    def _make(self, index: int, workers: int) -> Callable[[], Callable[[Architecture], Metrics]]:
        if self.measurement.device == "cpu":
            return partial(self.measurement.start, max(1, self._cores // workers))
        device = f"cuda:{index % torch.cuda.device_count()}"
        return partial(replace(self.measurement, device=device).start, 1)


def _images_used(used: int, asked: int | None, split: Split) -> str:
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
    if device == "cuda" and not available:
        raise ValueError("evaluator.device=cuda, but torch finds no GPU here; choose cpu or auto")
    return "cuda" if available and device != "cpu" else "cpu"


def _find(
    space: SearchSpace,
    supernet: str,
    data: Callable[[], ImageData],
    protocol_name: str,
    changes: Mapping[str, Any],
) -> tuple[Weights, ProtocolImages, Seen]:
    """Find weights and images, and whether these weights were trained on these images.

    Raises:
        CannotEvaluate: see there.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, find in (
        ("weights", lambda: _weights(space, supernet)),
        ("images", data),
        ("protocol", lambda: _protocol(found.get("weights"), protocol_name, changes)),
    ):
        try:
            found[name] = find()
        except (WeightsUnavailable, OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if not problems:
        try:
            problems = _misfits(found["weights"], found["images"], found["protocol"])
        except ValueError as error:
            problems = [f"weights: {error}"]
    if problems:
        raise CannotEvaluate("\n".join(problems))
    weights, dataset, chosen = found["weights"], found["images"], found["protocol"]
    if chosen.pixels == weights.pixels:
        chosen = replace(chosen, pixels=None)
    weights = replace(weights, pixels=chosen.pixels or weights.pixels)
    look, view = pixel_format(weights.pixels), weights.training_view
    try:
        images = ProtocolImages.of(chosen, dataset, cache_dir() / "images", look, view)
        return weights, images, seen_in_training(weights, images, dataset)
    except ValueError as error:
        raise CannotEvaluate(f"images: {error}") from error


def _protocol(weights: Weights | None, name: str, changes: Mapping[str, Any]) -> Protocol:
    if weights is not None and supernet_info(weights.path).get(NORMS) == "own":
        others = {key: value for key, value in changes.items() if not key.startswith("bn")}
        return protocol(name, **others, bn="none")
    return protocol(name, **changes)


def seen_in_training(weights: Weights, images: ProtocolImages, data: ImageData) -> Seen:
    """Tell whether the images that candidates are ranked by were trained on.

    Released weights were trained on all of ImageNet's training images, but perhaps for a split that
    is known; ours say what was held out.
    """
    split = images.ranking_split
    if split.name in ("train", "train_fit"):
        return "training_images"
    if (ours := weights.unseen) is not None:
        return "perhaps_trained_on" if ours and split.digest not in ours else ""
    if split.name == "test":
        return ""
    if "ofa_10k" not in data.splits:
        return "perhaps_trained_on"
    unseen_split = supernet_class(weights.space).unseen
    if unseen_split and data.split(unseen_split).digest == split.digest:
        return ""
    return "training_images"


def _way_out(measurement: Measurement) -> str:
    if measurement.weights.unseen is not None:
        return "Rank by what was held out: evaluator.changes.ranking=search_val"
    if unseen := supernet_class(measurement.weights.space).unseen:
        return f"They have not seen {unseen}: evaluator.protocol=ofa ranks by it"
    return (
        "They have seen all training images. evaluator.protocol=collm ranks by the images of test, "
        "as CoLLM-NAS; a supernet that is trained here leaves search_val out"
    )


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
    view = calibration_view(space, info_of(path, "recipe", dict[str, Any]) or {})
    return Weights(path, space, sha256, pixels, normalised, classes, view, _unseen(path))


def _unseen(path: Path) -> frozenset[str] | None:
    """Return the digests of splits that weights of ours were not trained on, where it is known."""
    info = supernet_info(path)
    if info.get("format") != FORMAT:
        return None
    splits = info_of(path, "data", dict[str, str]) or {}
    names = ("test",) if info.get("trained_on") == "train" else ("test", "search_val")
    return frozenset(splits[name] for name in names if name in splits)


def calibration_view(space: SearchSpace, recipe: Mapping[str, Any]) -> RandomView | None:
    """Return how batch norms of a supernet see images where its authors calibrate it.

    Args:
        recipe: of the weights, if they were trained here. What it does not mirror, e.g. digits, is
            seen as it was in training.
    """
    augmentation = recipe.get("augmentation")
    if not isinstance(augmentation, Mapping):
        augmentation = {}
    view = supernet_class(space).training_view
    if view is None or augmentation.get("flip", True):
        return view
    names = {field.name for field in fields(RandomView)}
    return RandomView(**{key: value for key, value in augmentation.items() if key in names})


def _misfits(weights: Weights, data: ImageData, protocol: Protocol) -> list[str]:
    """Say in what the images and their protocol do not fit the weights."""
    problems = []
    if weights.classes != len(data.classes):
        problems.append(
            f"the data set has {len(data.classes)} classes, the supernet {weights.classes}: choose "
            "other images (config key: data), or a supernet of so many classes "
            "(searchspace.num_classes)"
        )
    elif trained := info_of(weights.path, "classes", list[str]):
        pairs = zip_longest(trained, data.classes)
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
