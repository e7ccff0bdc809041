"""Moving about in a space: changing one gene, listing everything."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.nasbench201.space import EDGES, OPERATIONS, NASBench201
from tests.strategy.toy import Staircase

CELL = Architecture.of({"op": OPERATIONS + OPERATIONS[:1]})


def test_one_mutation_changes_one_edge_to_another_operation_and_all_are_equally_likely():
    rng, draws = random.Random(0), 24_000
    counts = Counter(NASBench201().mutate_one(CELL, rng) for _ in range(draws))
    assert set(counts) == set(NASBench201().neighbours(CELL))
    assert all(count == pytest.approx(draws / 24, rel=0.2) for count in counts.values())


def test_a_variable_with_one_option_is_never_chosen():
    space, rng = Staircase(depth=1), random.Random(0)
    narrow = Architecture.of({"depth": [1], "width": [8]})
    assert {str(space.mutate_one(narrow, rng)["width"][0]) for _ in range(50)} == {"16", "32"}


def test_all_architectures_are_listed_once():
    cells = list(NASBench201().architectures())
    assert len(cells) == len(set(cells)) == len(OPERATIONS) ** len(EDGES)


def test_inactive_genes_make_no_further_architectures():
    listed = list(Staircase(depth=3).architectures())
    assert len(listed) == len(set(listed)) == 3 + 9 + 27 == Staircase(depth=3).size()
