"""What is reported first, how sure that is, and that strategies are told as ever."""

from __future__ import annotations

import pytest

from collm_nas.core.archive import Archive, Record, Round
from collm_nas.report.ranking import alike, certainty, ranked
from collm_nas.report.uncertainty import distinguishable, interval, near_chance, written
from collm_nas.spaces.nasbench201.space import NASBench201

METRIC = "val_accuracy"


def records(space: NASBench201, *rows: tuple[float, float, float]) -> list[Record]:
    """Return a record for each accuracy, multiply-adds and latency; these come first on disk."""
    return [
        Record("feasible", arch, {"latency_ms": ms, "macs": macs, METRIC: accuracy})
        for arch, (accuracy, macs, ms) in zip(space.architectures(), rows, strict=False)
    ]


def test_of_equals_the_cheaper_is_reported_and_a_strategy_is_told_of_the_first(space, tmp_path):
    found = records(space, (90, 5, 1), (95, 9, 1), (95, 7, 3), (95, 7, 2), (95, 7, 2))
    assert ranked(found, METRIC) == [found[i] for i in (3, 4, 2, 1, 0)]
    archive = Archive.open(tmp_path / "archive.jsonl", METRIC)
    archive.append(Round(0, "", tuple(found)))
    assert archive.best() == found[1]


def test_what_misses_a_limit_or_was_not_measured_is_not_ranked(space):
    good, over = records(space, (90, 5, 1), (95, 5, 1))
    over = Record("infeasible", over.arch, over.metrics)
    assert ranked([over, Record("duplicate", good.arch, {"macs": 5}), good], METRIC) == [good]


@pytest.mark.parametrize(
    ("percent", "images", "low", "high"),
    [  # Wilson's intervals as R gives them: prop.test(x, n, correct=FALSE)
        (95, 120, 89.52, 97.69),
        (50, 10, 23.66, 76.34),
        (100, 50, 92.87, 100),
        (0, 50, 0, 7.13),
        (71.3, 50_000, 70.90, 71.70),
    ],
)
def test_the_interval_of_an_accuracy_is_wilsons(percent, images, low, high):
    assert interval(percent, images) == pytest.approx((low, high), abs=0.006)


def test_an_accuracy_is_written_with_its_interval_where_images_were_counted():
    assert written(95, 120) == "95.00 [89.5, 97.7]"
    assert written(95, None) == "95.00"


def test_accuracies_are_told_apart_by_enough_images():
    assert not distinguishable(95, 90, 120)
    assert not distinguishable(90, 95, 120), "whichever comes first"
    assert distinguishable(95, 80, 120)
    assert distinguishable(95, 90, 2000)
    assert not distinguishable(100, 100, 5)


def test_the_choice_names_what_it_could_as_well_have_been(space):
    ranking = ranked(records(space, (95, 9, 1), (94, 7, 1), (90, 3, 1), (60, 1, 1)), METRIC)
    assert [r.metrics[METRIC] for r in alike(ranking, METRIC, 120)] == [95, 94, 90]
    sure = certainty(ranking, METRIC, 120)
    assert (sure["alike"], sure["equal"], sure["images"]) == (3, 1, 120)
    assert sure["cheapest_alike"][METRIC] == 90
    assert certainty(ranking, METRIC, None) == {"equal": 1}, "a table has no images"
    assert certainty([], METRIC, 120) == {}


@pytest.mark.parametrize(
    ("percents", "images", "classes", "near"),
    [
        ([10.2, 11.0, 12.5], 4000, 10, True),
        ([10.2, 20.0], 4000, 10, False),
        ([0.3, 0.9], 50_000, 1000, True),
        ([0.3, 40.0], 50_000, 1000, False),
        ([20.0], 60, 10, True),  # so few images cannot tell
        ([55.0], 1000, 2, True),
    ],
)
def test_reference_subnets_that_hardly_do_better_than_guessing_are_told(
    percents, images, classes, near
):
    told = near_chance(percents, images, classes)
    assert bool(told) == near
    assert not near or f"guessing has {100 / classes:g}%" in told
