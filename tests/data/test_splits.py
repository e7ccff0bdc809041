import random

import numpy as np
import pytest

from collm_nas.data import splits

NAMES = [b"%04d.jpg" % i for i in range(90)]
LABELS = np.repeat([0, 1, 2], [20, 30, 40])


def test_each_class_gives_its_share():
    held = splits.stratified(NAMES, LABELS, 0.1)
    assert np.bincount(LABELS[held]).tolist() == [2, 3, 4]
    assert np.bincount(LABELS[splits.stratified(NAMES, LABELS, 5)]).tolist() == [5, 5, 5]
    assert held.tolist() == sorted(held.tolist())


def test_which_are_held_out_does_not_depend_on_the_other_images():
    held = {NAMES[i] for i in splits.stratified(NAMES, LABELS, 5)}
    fewer = [i for i in range(90) if NAMES[i] in held or i % 2]
    again = splits.stratified([NAMES[i] for i in fewer], LABELS[fewer], 5)
    assert {NAMES[fewer[i]] for i in again} == held


def test_a_class_is_not_emptied():
    with pytest.raises(ValueError, match="hold out 20 of the 20 images of class 0"):
        splits.stratified(NAMES, LABELS, 20)


def test_ofa_holds_out_what_its_own_code_does():
    base = pytest.importorskip("ofa.imagenet_classification.data_providers.base_provider")
    count = 20_000
    _, theirs = base.DataProvider.random_sample_valid_set(count, 10_000)
    assert splits.ofa_held_out(count).tolist() == sorted(theirs)
    with pytest.raises(ValueError, match="10,000"):
        splits.ofa_held_out(10_000)


def test_autoformer_draws_from_the_names_of_one_class_after_the_other():
    labels = np.repeat([0, 1], [150, 200])
    names = [f"{i:03}" for i in range(350)]
    random.seed(0)  # as its script draws
    theirs = random.sample(names[:150], 100) + random.sample(names[150:], 100)
    assert [names[i] for i in splits.autoformer_sampled(labels)] == sorted(theirs)
    with pytest.raises(ValueError, match="class 2 has 100"):
        splits.autoformer_sampled(np.repeat([0, 2], [150, 100]))


def test_the_digest_changes_with_names_labels_sizes_and_order():
    sizes = np.arange(90)
    others = [
        (NAMES[::-1], LABELS, sizes),
        (NAMES, LABELS + 1, sizes),
        (NAMES, LABELS, sizes + 1),
        (NAMES[:-1], LABELS[:-1], sizes[:-1]),
    ]
    assert len({splits.digest(*x) for x in [(NAMES, LABELS, sizes), *others]}) == 5
