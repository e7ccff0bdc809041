"""Everything that defines what an accuracy means, under one name and one hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from collm_nas.data.base import SplitName
from collm_nas.data.view import Interpolation

Estimator = Literal["exact", "ema", "none"]
Precision = Literal["float32", "bfloat16"]
METRICS = {"search_val": "val", "test": "test", "train": "train", "train_fit": "train_fit"}


@dataclass(frozen=True)
class Protocol:
    """How the accuracy of a subnet with inherited weights is measured.

    Args:
        name: of the protocol.
        ranking: the split whose accuracy candidates are ranked by.
        images: how many images of it, evenly over the classes; `None` is all.
        crop_ratio: see `View`; `None` is the data set's own.
        interpolation: see `View`.
        bn: the estimator of the batch-norm statistics; see `recalibrate`.
        bn_split: where the calibration images are from.
        bn_images: how many; a smaller split gives all that it has.
        bn_batch: images of a calibration batch.
        bn_random_crop: whether they are seen as in training.
        bn_seed: draws other calibration images.
        precision: of the forward pass; statistics are always in single precision.
    """

    name: str
    ranking: SplitName = "search_val"
    images: int | None = None
    crop_ratio: float | None = None
    interpolation: Interpolation = "bilinear"
    bn: Estimator = "exact"
    bn_split: SplitName = "train_fit"
    bn_images: int = 2000
    bn_batch: int = 200
    bn_random_crop: bool = False
    bn_seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        choices = {"bn": get_args(Estimator), "precision": get_args(Precision)}
        problems = [
            f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {value!r}"
            for name, allowed in choices.items()
            if (value := getattr(self, name)) not in allowed
        ] + [
            f"{name} must be at least 1, got {value}"
            for name in ("images", "bn_images", "bn_batch")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if problems:
            raise ValueError("\n".join(f"evaluator.changes.{problem}" for problem in problems))

    @property
    def objective(self) -> str:
        """Name what is measured by the split: `val_accuracy`, or `test_accuracy`."""
        return f"{METRICS[self.ranking]}_accuracy"

    def digest(self, *context: object) -> str:
        """Name these settings, and what else an accuracy depends on, by a short hash."""
        content = json.dumps([asdict(self), *map(str, context)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("clean"),
        # CoLLM-NAS ranks and reports on the same 50,000 images; it does not state its calibration
        Protocol("collm", ranking="test"),
        Protocol("ofa", crop_ratio=0.875, bn_random_crop=True, bn_split="train"),
        Protocol(
            "spos_repo",
            ranking="test",
            images=8000,
            crop_ratio=0.875,
            interpolation="opencv",
            bn="ema",
            bn_split="train",
            bn_images=25_600,
            bn_batch=128,
            bn_random_crop=True,
        ),
        Protocol(
            "spos_paper",
            crop_ratio=0.875,
            interpolation="opencv",
            bn_images=20_000,
            bn_batch=128,
            bn_random_crop=True,
        ),
        Protocol("autoformer", crop_ratio=0.875, interpolation="bicubic", bn="none"),
    )
}


def protocol(name: str, /, **changes: Any) -> Protocol:
    """Return a named protocol, with some settings changed (`None` changes nothing).

    Its name says what was changed: `clean,images=1000`.

    Raises:
        ValueError: there is none of this name, or no such setting.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    known = asdict(PROTOCOLS[name])
    changed = {k: v for k, v in changes.items() if v is not None and v != known.get(k)}
    if unknown := [k for k in changed if k not in known or k == "name"]:
        raise ValueError(
            f"a protocol has no setting {', '.join(unknown)}; there are {', '.join(known)}"
        )
    full_name = ",".join([name, *(f"{k}={v}" for k, v in changed.items())])
    return replace(PROTOCOLS[name], **changed, name=full_name)
