"""Everything that defines what an accuracy means, under one name and one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from annotated_types import Gt, Le
from typing_extensions import TypedDict

from collm_nas.core.arguments import key_of, misfits
from collm_nas.core.ranges import Count, Seed, one_of
from collm_nas.data.base import SplitName
from collm_nas.data.pixels import PixelsName
from collm_nas.data.view import Interpolation, RandomView

Estimator = Literal["exact", "ema", "none"]
Precision = Literal["float32", "bfloat16"]
CalibrationView = Literal["training", "centre"]
METRICS: Mapping[SplitName, str] = {
    "search_val": "val",
    "ofa_10k": "val",
    "autoformer_100": "val",
    "test": "test",
    "train": "train",
    "train_fit": "train_fit",
}


@dataclass(frozen=True)
class Protocol:
    """How the accuracy of a subnet with inherited weights is measured.

    Args:
        name: of the protocol.
        ranking: the split whose accuracy candidates are ranked by; where a data set does not have
            it, `search_val`.
        images: how many images of it, evenly over the classes; `None` is all.
        crop_ratio: see `View`; `None` is the data set's own.
        interpolation: see `View`; `None` is that of the weights.
        pixels: a pixel format in the place of that of the weights.
        bn: the estimator of the batch-norm statistics; see `recalibrate`.
        bn_split: where the calibration images are from.
        bn_images: how many; a smaller split gives all that it has.
        bn_batch: images of a calibration batch.
        bn_view: how they are seen: as the authors of the supernet trained and calibrate it, with
            random crops, flips and colours; or in the centre, as evaluation sees them.
        bn_seed: draws other calibration images, and other views of them.
        precision: of the forward pass; statistics are always in single precision.
    """

    name: str
    ranking: SplitName = "search_val"
    images: Count | None = None
    crop_ratio: Annotated[float, Gt(0), Le(1)] | None = None
    interpolation: Interpolation | None = None
    pixels: PixelsName | None = None
    bn: Estimator = "exact"
    bn_split: SplitName = "train_fit"
    bn_images: Count = 2000
    bn_batch: Count = 200
    bn_view: CalibrationView = "training"
    bn_seed: Seed = 0
    precision: Precision = "float32"

    @property
    def objective(self) -> str:
        """Name what is measured by the split: `val_accuracy`, or `test_accuracy`."""
        return f"{METRICS[self.ranking]}_accuracy"

    def digest(self, *context: object, view: RandomView | None) -> str:
        """Name these settings, and what else an accuracy depends on, by a short hash.

        Args:
            view: how calibration sees its images; `None` is the centre.
        """
        settings = asdict(self)
        # The pixel format is part of the context. The rest keeps the hash of what was measured
        # before there was a choice.
        del settings["pixels"], settings["bn_view"]
        settings["bn_random_crop"] = asdict(view) if view else False
        content = json.dumps([settings, *map(str, context)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def name_with(self, **facts: object) -> str:
        """Return the name, with what was really done in the place of what was asked for."""
        base, *changes = self.name.split(",")
        known = dict(change.split("=", 1) for change in changes)
        return ",".join([base, *(f"{k}={v}" for k, v in {**known, **facts}.items())])


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("clean"),
        # CoLLM-NAS ranks and reports on the same 50,000 images; it does not state its calibration
        Protocol("collm", ranking="test"),
        Protocol("ofa", ranking="ofa_10k", crop_ratio=0.875, bn_split="train"),
        Protocol(
            "spos_repo",
            ranking="test",
            images=8000,
            crop_ratio=0.875,
            bn="ema",
            bn_split="train",
            bn_images=25_600,
            bn_batch=128,
        ),
        Protocol("spos_paper", crop_ratio=0.875, bn_images=20_000, bn_batch=128),
        Protocol("autoformer", ranking="autoformer_100", crop_ratio=0.875, bn="none"),
    )
}

ProtocolName = Annotated[str, one_of(PROTOCOLS)]
if TYPE_CHECKING:
    Changes = Mapping[str, Any]
else:  # the settings of a protocol, each of which may be null: as it is
    SETTINGS = get_type_hints(Protocol, include_extras=True)
    Changes = TypedDict(
        "Changes", {k: hint | None for k, hint in SETTINGS.items() if k != "name"}, total=False
    )


def protocol(name: str, /, **changes: Any) -> Protocol:
    """Return a named protocol, with some settings changed (`None` changes nothing).

    Its name says what was changed: `clean,images=1000`.

    Raises:
        ValueError: there is none of this name, or a setting is none or wrong; all are told.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    if found := misfits(changes, Changes):
        raise ValueError(
            "\n".join(p.told(key_of(("evaluator", "changes", *p.path))) for p in found)
        )
    known = asdict(PROTOCOLS[name])
    changed = {k: v for k, v in changes.items() if v is not None and v != known[k]}
    full_name = ",".join([name, *(f"{k}={v}" for k, v in changed.items())])
    return replace(PROTOCOLS[name], **changed, name=full_name)
