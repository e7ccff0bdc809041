"""A protocol's name and hash tell measurements apart."""

from __future__ import annotations

import pytest

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
    hashes = [p.digest("weights") for p in PROTOCOLS.values()]
    hashes += [protocol("clean", bn_batch=100).digest("weights"), clean.digest("other weights")]
    assert len(set(hashes)) == len(hashes)
    assert clean.digest("weights") == protocol("clean").digest("weights")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("clear", {}, "no protocol 'clear'; there are clean, collm, ofa"),
        ("clean", {"image": 3}, "no setting image; there are name, ranking, images"),
        ("clean", {"name": "mine"}, "no setting name"),
        ("clean", {"bn": "mean"}, "bn must be exact, ema or none"),
        ("clean", {"precision": "float16"}, "precision must be float32 or bfloat16"),
        ("clean", {"images": 0}, "images must be at least 1"),
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
