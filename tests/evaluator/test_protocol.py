"""A protocol's name and hash tell measurements apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collm_nas.data.view import RandomView
from collm_nas.evaluator.images import drawn, evenly
from collm_nas.evaluator.protocol import PROTOCOLS, protocol


def test_its_name_says_what_was_changed() -> None:
    assert protocol("clean", images=None, bn_images=2000) == PROTOCOLS["clean"]
    changed = protocol("clean", images=1000, precision="bfloat16")
    assert changed.name == "clean,images=1000,precision=bfloat16"
    assert (changed.images, changed.bn_images) == (1000, 2000)


def test_the_metric_is_named_by_the_split() -> None:
    assert protocol("clean").objective == "val_accuracy"
    assert protocol("collm").objective == "test_accuracy"
    assert protocol("spos_repo").objective == "test_accuracy"


def test_every_difference_has_another_hash() -> None:
    clean = protocol("clean")
    hashes = [p.digest("weights", view=None) for p in PROTOCOLS.values()]
    hashes += [
        protocol("clean", bn_batch=100).digest("weights", view=None),
        clean.digest("other weights", view=None),
        clean.digest("weights", view=RandomView()),
        clean.digest("weights", view=RandomView(flip=False)),
    ]
    assert len(set(hashes)) == len(hashes)
    assert clean.digest("weights", view=None) == protocol("clean").digest("weights", view=None)


def test_what_is_measured_as_ever_keeps_its_hash() -> None:
    """Of releases in which calibration saw the centres, and images were scaled bilinearly."""
    clean = replace(protocol("clean"), interpolation="bilinear")
    assert clean.digest("w", 0.875, view=None) == "70789bb6c1f8e895"


def test_the_name_tells_what_was_done_instead_of_what_was_asked() -> None:
    asked = protocol("clean", bn_images=1000, precision="bfloat16")
    told = asked.name_with(bn_images=380, ranking="training_images")
    assert told == "clean,bn_images=380,precision=bfloat16,ranking=training_images"
    assert asked.name_with() == asked.name


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("clear", {}, "no protocol 'clear'; there are clean, collm, ofa"),
        ("clean", {"image": 3}, "changes.image is no setting; did you mean images?"),
        ("clean", {"name": "mine"}, "changes.name is no setting; there are bn, bn_batch"),
        ("clean", {"bn": "mean"}, "bn must be 'exact', 'ema' or 'none'"),
        ("clean", {"precision": "float16"}, "precision must be 'float32' or 'bfloat16'"),
        ("clean", {"pixels": "rgb"}, "changes.pixels must be 'imagenet' or 'imagenet_bicubic'"),
        ("clean", {"images": "many", "crop_ratio": 2.0}, r"images must.*(.|\n)*crop_ratio must"),
        ("clean", {"bn_view": "center"}, "bn_view must be 'training' or 'centre'"),
        ("clean", {"images": 0}, "changes.images must be at least 1, got 0"),
    ],
)
def test_what_is_no_protocol_is_refused(name: str, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        protocol(name, **changes)


def test_images_are_chosen_evenly_over_the_classes() -> None:
    labels = [0, 0, 0, 1, 1, 2, 0, 2, 2]
    assert evenly(labels, 4) == [0, 1, 3, 5]
    assert evenly(labels, 9) == list(range(9))
    assert evenly(labels, 100) == list(range(9))


def test_calibration_images_are_drawn_once_for_all() -> None:
    chosen = drawn(1000, 200)
    assert len(set(chosen)) == 200
    assert chosen == drawn(1000, 200)
    assert chosen != sorted(chosen)
    assert sorted(drawn(50, 200)) == list(range(50))
