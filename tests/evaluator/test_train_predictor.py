"""Training a predictor: from a run or a table, with figures of subnets that it did not see."""

from __future__ import annotations

import lzma
import random
from pathlib import Path

import numpy as np
import pytest

from collm_nas.cli import session
from collm_nas.evaluator.predictor import file as predictor_file
from collm_nas.evaluator.predictor.evaluator import PredictorEvaluator
from collm_nas.evaluator.predictor.measured import Measured, measured_by_run, measured_in_table
from collm_nas.evaluator.predictor.train import main, train
from collm_nas.spaces.mobilenet.space import MobileNet
from tests.conftest import SHARED, search_config
from tests.strategy.toy import Staircase, WiderIsBetter

TABLE = SHARED / "data" / "ofa_mbv3" / "mit_ofa_subnets.csv.xz"
SPACE = ["--space", "mobilenet", "width=1.0"]


def measured(space: Staircase, count: int) -> Measured:
    rng, truth = random.Random(0), WiderIsBetter()
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(2 * count)))[:count]
    return Measured(
        tuple(archs), np.array([truth.evaluate(arch)["val_accuracy"] for arch in archs])
    )


def row(d: str = "22222", r: str = "224", top1: str = "0.71", ks: str = "3" * 20) -> str:
    return f"{ks},{'346' + '3' * 17},{d},{r},{top1}\n"


def table(path: Path, *rows: str) -> Path:
    text = "ks,e,d,r,top1\n" + "".join(rows)
    path.write_bytes(lzma.compress(text.encode()) if path.suffix == ".xz" else text.encode())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    session.run(search_config("budget.evaluations=200", strategy="random"), path)
    return path


class TestTraining:
    def test_it_ranks_subnets_that_it_has_not_seen(self):
        predictor = train(Staircase(6), measured(Staircase(6), 250), seed=0)
        assert predictor.report["held out"] == 50
        assert predictor.report["Kendall tau"] > 0.9
        assert predictor.report["RMSE"] < 1.0

    def test_the_same_seed_trains_the_same_predictor(self):
        data = measured(Staircase(4), 60)
        one, same, other = (train(Staircase(4), data, seed) for seed in (0, 0, 1))
        assert one.predict(data.archs).tolist() == same.predict(data.archs).tolist()
        assert one.predict(data.archs).tolist() != other.predict(data.archs).tolist()

    def test_the_held_out_part_decides_nothing(self):
        data = measured(Staircase(4), 60)
        _, held_out = data.split(0.2, seed=0)
        spoilt = [
            -float(i) if arch in held_out.archs else accuracy
            for i, (arch, accuracy) in enumerate(zip(data.archs, data.accuracies, strict=True))
        ]
        whole, blind = (
            train(Staircase(4), d, seed=0) for d in (data, Measured(data.archs, np.array(spoilt)))
        )
        assert whole.predict(data.archs).tolist() == blind.predict(data.archs).tolist()

    def test_options_without_a_training_subnet_are_known_as_such(self):
        data = measured(Staircase(6), 200)
        deep = [i for i, arch in enumerate(data.archs) if arch["depth"][0] > 2]
        assert train(Staircase(6), data.pick(deep), 0).meaning.trained["depth"] == (3, 4, 5, 6)

    @pytest.mark.parametrize(
        ("count", "scale", "share", "message"),
        [(19, 1, 0.2, "19 subnets are too few"), (40, 0, 0.2, "must be finite and differ"),
         (40, 1, 1.5, "--held-out must be between 0 and 1")],
    )  # fmt: skip
    def test_what_nothing_can_be_learnt_from_is_refused(self, count, scale, share, message):
        data = measured(Staircase(4), count)
        with pytest.raises(ValueError, match=message):
            train(Staircase(4), Measured(data.archs, data.accuracies * scale), 0, share)


class TestRuns:
    def test_a_run_becomes_a_predictor_of_its_space(self, run, tmp_path, capsys):
        output = tmp_path / "predictor.safetensors"
        assert main([str(run), "--output", str(output)]) == 0
        assert "Kendall tau" in capsys.readouterr().out
        space, data = measured_by_run(run)
        evaluator = PredictorEvaluator(space, str(output))
        predicted = [evaluator.evaluate(a)["predicted_accuracy"] for a in data.archs]
        assert np.corrcoef(predicted, data.accuracies)[0, 1] > 0.7
        assert predictor_file.read(output).report["trained on"] == 160

    @pytest.mark.parametrize(
        ("extra", "message"),
        [(["--metric", "test_accuracy"], "--metric must be one of val_accuracy"),
         (["--output", "predictor.pth"], "--output must end in .safetensors")],
    )  # fmt: skip
    def test_wrong_arguments_are_told(self, extra, message, run, tmp_path, capsys):
        assert main([str(run), "--output", str(tmp_path / "p.safetensors"), *extra]) == 2
        assert message in capsys.readouterr().err

    def test_what_is_no_run_is_refused(self, tmp_path, capsys):
        assert main([str(tmp_path), "--output", str(tmp_path / "p.safetensors")]) == 2
        assert "is no run of search.py" in capsys.readouterr().err


class TestTables:
    @pytest.mark.parametrize("name", ["t.csv", "t.csv.xz"])
    def test_fractions_become_percent_and_inactive_genes_do_not_count(self, name, tmp_path):
        space = MobileNet(width=1.0)
        data = measured_in_table(
            table(tmp_path / name, row(), row(top1="0.5", ks="3 " * 20)), space
        )
        first, second = data.archs
        assert first == second
        assert first["ks"][:8] == (3, 3, 0, 0) * 2
        assert first["e"][:8] == (3, 4, 0, 0, 3, 3, 0, 0)
        assert data.accuracies.tolist() == [71.0, 50.0]

    def test_all_problems_of_a_table_are_told_with_their_rows(self, tmp_path):
        path = table(
            tmp_path / "t.csv", row(), row(r="128", d="2222"), row(top1="good"), row(ks="4" * 20)
        )
        with pytest.raises(ValueError) as refused:  # noqa: PT011
            measured_in_table(path, MobileNet(width=1.0))
        told = str(refused.value)
        assert "row 2: r may be 160, 176, 192, 208, 224, got '128'" in told
        assert "row 2: d must have 5 genes, got '2222'" in told
        assert "row 3: top1 must be a number, got 'good'" in told
        assert "row 4: ks may be 3, 5, 7, got '4'" in told

    def test_a_missing_column_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="the columns accuracy"):
            measured_in_table(table(tmp_path / "t.csv", row()), MobileNet(), "accuracy")

    def test_a_table_needs_its_space(self, tmp_path, capsys):
        source = str(table(tmp_path / "t.csv", row()))
        assert main([source, "--output", str(tmp_path / "p.safetensors")]) == 2
        assert "needs its space" in capsys.readouterr().err
        assert main([source, "--output", str(tmp_path / "p.safetensors"), "--space", "mobil"]) == 2
        assert "no search space mobil. Name a YAML file, or one of autoformer" in (
            capsys.readouterr().err
        )

    def test_what_is_no_table_is_refused(self, tmp_path):
        (tmp_path / "t.csv.xz").write_bytes(b"no archive")
        with pytest.raises(ValueError, match="cannot be read as CSV"):
            measured_in_table(tmp_path / "t.csv.xz", MobileNet())

    @pytest.mark.slow
    @pytest.mark.skipif(not TABLE.exists(), reason=f"{TABLE} is missing; see COLLM_SHARED")
    def test_measured_ofa_subnets_are_ranked_as_well_as_their_noise_allows(self, tmp_path):
        output = tmp_path / "predictor.safetensors"
        settings = ["--output", str(output), *SPACE, "resolutions=[128,160,192]"]
        assert main([str(TABLE), *settings]) == 0
        report = predictor_file.read(output).report
        assert report["held out"] == 522
        assert report["Kendall tau"] > 0.89
        assert report["RMSE"] < 0.40  # points: the standard error of the measurements themselves
