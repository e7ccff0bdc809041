"""The sealed test: what a report reads after a search, and what it says where there is nothing."""

from __future__ import annotations

import pytest

from collm_nas.core.problem import EvaluationFailed
from collm_nas.spaces.benchmark import read_table
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string
from tests.evaluator.benchmark_files import (
    BEST,
    COLUMN,
    CSV,
    EMPTY,
    OFFICIAL,
    needs_shared,
    rows_of,
)


@needs_shared
@pytest.mark.parametrize("dataset", COLUMN)
def test_it_reads_the_test_column(dataset: str) -> None:
    sealed = read_table(NASBench201(dataset), "test", CSV)
    for row in rows_of()[::100]:
        arch = parse_cell_string(row["arch"])
        assert sealed.accuracy(arch) == float(row[f"{COLUMN[dataset]}_test"])


@needs_shared
def test_the_best_on_validation_is_the_best_on_test_for_cifar10() -> None:
    rank = read_table(NASBench201(), "test", CSV).rank(BEST)
    assert (rank.rank, rank.optimum) == (1, 94.3733)


@needs_shared
def test_cifar10_test_is_that_of_networks_trained_on_all_images() -> None:
    # cifar10-valid/ori-test of this cell, trained on half of them, would be 81.52
    cell = (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
        "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    sealed = read_table(NASBench201(), "test", OFFICIAL, partial=True)
    assert sealed.accuracy(parse_cell_string(cell)) == 85.8633
    with pytest.raises(EvaluationFailed, match="no CIFAR-10 test accuracy"):
        sealed.accuracy(EMPTY)


def test_the_embedded_table_says_who_has_test_accuracies() -> None:
    with pytest.raises(ValueError, match=r"no test accuracies.*NATS-tss-v1_0-3ffb9.*table=PATH"):
        read_table(NASBench201(), "test")
