"""Predictors from files: those of OFA agree with the original code and with measured subnets."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.stats import kendalltau, spearmanr

from collm_nas.core.architecture import Architecture
from collm_nas.evaluator.predictor import file as predictor_file
from collm_nas.evaluator.predictor.evaluator import PredictorEvaluator
from collm_nas.evaluator.predictor.file import Meaning, Predictor, WrongPredictor, read, save
from collm_nas.evaluator.predictor.measured import measured_in_table
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet.space import MobileNet
from tests.conftest import SHARED
from tests.strategy.toy import Staircase

DATA = SHARED / "data" / "ofa_mbv3"
SIZES = (400, 400, 400, 1)
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA} is missing; COLLM_SHARED names its folder"
)


def ofa(*resolutions: int) -> MobileNet:
    return MobileNet(width=1.0, resolutions=resolutions or (160, 176, 192, 208, 224))


def sample(space: SearchSpace, count: int = 20) -> list[Architecture]:
    rng = random.Random(0)
    return [space.sample(rng) for _ in range(count)]


def tutorial_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    state, inputs = {}, 128
    for i, outputs in enumerate(SIZES):
        state[f"{2 * i}.weight"] = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
        state[f"{2 * i}.bias"] = torch.randn(outputs, generator=generator)
        inputs = outputs
    return state


@pytest.fixture
def tutorial(tmp_path: Path) -> Path:
    torch.save(tutorial_weights(), tmp_path / "acc_predictor.pth")
    return tmp_path / "acc_predictor.pth"


def toy_predictor(space: SearchSpace, **trained: tuple[int, ...]) -> Predictor:
    meaning = Meaning(space.identity, space.variables, trained, percent=10.0, base=50.0)
    rng = np.random.default_rng(0)
    one, other = (
        tuple((rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in [(12, 5), (5, 1)])
        for _ in range(2)
    )
    return Predictor(meaning, (one, other), {"held out": 7})


def content(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Return the arrays of a file of ours, and what it says of them."""
    with safe_open(path, framework="numpy") as file:
        return {n: file.get_tensor(n) for n in file.keys()}, file.metadata()["collm_nas"]  # noqa: SIM118


def original(name: str) -> ModuleType:
    """Load a module of the ofa package by its file: importing its package needs more packages."""
    package = importlib.util.find_spec("ofa")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the ofa package is not installed")
    path = Path(package.submodule_search_locations[0], name)
    spec = importlib.util.spec_from_file_location("original", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTheOriginalCode:
    def test_the_tutorials_predictor_expects_the_same(self, tutorial):
        theirs = original("tutorial/accuracy_predictor.py").AccuracyPredictor(False, "cpu")
        theirs.model.load_state_dict(tutorial_weights())
        archs = sample(space := ofa())
        asked = [{"ks": [*a["ks"]], "e": [*a["e"]], "d": [*a["d"]], "r": [*a["r"]]} for a in archs]
        expected = 100 * theirs.predict_accuracy(asked)[:, 0].numpy()
        evaluator = PredictorEvaluator(space, str(tutorial))
        ours = [evaluator.evaluate(a)["predicted_accuracy"] for a in archs]
        assert ours == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("kind", ["torch", "nested", "npz"])
    def test_the_packages_predictor_expects_the_same(self, kind, tmp_path):
        package = pytest.importorskip("ofa.nas.accuracy_predictor")
        torch.manual_seed(0)
        encoder = package.MobileNetArchEncoder([128, 160, 192, 224])
        theirs = package.AccuracyPredictor(encoder, device="cpu")
        theirs.base_acc.data += 0.7
        state = theirs.state_dict()
        path = tmp_path / ("predictor.npz" if kind == "npz" else "predictor.pth")
        if kind == "npz":
            np.savez(path, **{name.replace(".", "_"): t.numpy() for name, t in state.items()})
        else:
            torch.save({"state_dict": state} if kind == "nested" else state, path)
        archs = sample(ofa(128, 160, 192, 224))
        asked = [{**{n: a[n] for n in ("ks", "e", "d")}, "image_size": a["r"][0]} for a in archs]
        expected = 100 * theirs.predict_acc(asked).detach().numpy()
        assert read(path).predict(archs) == pytest.approx(expected, abs=1e-3)


@needs_data
class TestMeasuredSubnets:
    """2,610 subnets of the published supernet, measured by others at 128, 160 and 192 pixels."""

    def test_a_predictor_that_was_trained_on_them_fits_them(self):
        measured = measured_in_table(DATA / "mit_ofa_subnets.csv.xz", ofa(128, 160, 192))
        predicted = read(DATA / "mit_ofa_acc_predictor.npz").predict(measured.archs)
        errors = predicted - measured.accuracies
        assert len(errors) == 2610
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(0.312, abs=1e-3)
        assert spearmanr(predicted, measured.accuracies)[0] == pytest.approx(0.9886, abs=1e-4)

    def test_the_official_one_ranks_them_from_160_pixels_on_but_is_no_accuracy(self):
        everything = measured_in_table(DATA / "mit_ofa_subnets.csv.xz", ofa(128, 160, 192))
        predictor = read(DATA / "official" / "acc_predictor.pth")
        large = [i for i, arch in enumerate(everything.archs) if arch["r"][0] >= 160]
        measured = everything.pick(large)
        predicted = predictor.predict(measured.archs)
        assert spearmanr(predicted, measured.accuracies)[0] == pytest.approx(0.957, abs=1e-3)
        assert kendalltau(predicted, measured.accuracies)[0] == pytest.approx(0.816, abs=1e-3)
        assert np.mean(predicted - measured.accuracies) == pytest.approx(5.76, abs=0.01)
        all_sizes = predictor.predict(everything.archs)
        assert spearmanr(all_sizes, everything.accuracies)[0] < 0.2

    def test_within_one_resolution_an_untrained_input_costs_little(self):
        """Asked for 224 pixels, which it never saw, `ofa.nas`'s orders better than the tutorial's.

        There are no measurements at 224: the order of the same subnets at 192 stands for it.
        """
        everything = measured_in_table(DATA / "mit_ofa_subnets.csv.xz", ofa(128, 160, 192))
        at_192 = [i for i, arch in enumerate(everything.archs) if arch["r"] == (192,)]
        measured = everything.pick(at_192)
        asked = [Architecture.of({**arch.to_json(), "r": [224]}) for arch in measured.archs]
        files = "mit_ofa_acc_predictor.npz", "official/acc_predictor.pth"
        taus = [kendalltau(read(DATA / f).predict(asked), measured.accuracies)[0] for f in files]
        assert taus == pytest.approx([0.768, 0.701], abs=1e-3)


class TestTheSpaceMustFit:
    def test_another_width_is_refused_with_the_setting_to_change(self, tutorial):
        with pytest.raises(ValueError, match=r"mobilenet-w1.2-c1000: searchspace.width=1.0"):
            PredictorEvaluator(MobileNet(), str(tutorial))

    def test_another_space_is_refused(self, tutorial, space):
        with pytest.raises(ValueError, match="not of nasbench201"):
            PredictorEvaluator(space, str(tutorial))

    def test_resolutions_without_input_and_without_training_are_named(self, tutorial):
        both = r"no input for r = 168(.|\n)*only guesses for 128"
        with pytest.raises(ValueError, match=both):
            PredictorEvaluator(ofa(128, 168, 224), str(tutorial))

    def test_guesses_can_be_accepted_but_missing_inputs_cannot(self, tutorial):
        PredictorEvaluator(ofa(128, 224), str(tutorial), extrapolate=True)
        with pytest.raises(ValueError, match="no input for r = 168"):
            PredictorEvaluator(ofa(168, 224), str(tutorial), extrapolate=True)

    def test_the_one_resolution_that_is_searched_may_be_a_guess_and_is_called_one(self, tutorial):
        assert PredictorEvaluator(ofa(160, 224), str(tutorial)).cautions == ()
        (caution,) = PredictorEvaluator(ofa(128), str(tutorial)).cautions
        assert "not trained on r = 128: the order of candidates is good" in caution
        with pytest.raises(ValueError, match="no input for r = 168"):
            PredictorEvaluator(ofa(168), str(tutorial))
        accepted = PredictorEvaluator(ofa(128, 224), str(tutorial), extrapolate=True)
        assert "not trained on r = 128: their order among other options" in accepted.cautions[0]

    def test_a_depth_that_no_training_subnet_had_is_a_guess(self, tmp_path):
        save(tmp_path / "p.safetensors", toy_predictor(Staircase(), depth=(1, 2)))
        with pytest.raises(ValueError, match=r"depth = 1, 2 alone.*guesses for 3: .* Accept"):
            PredictorEvaluator(Staircase(), str(tmp_path / "p.safetensors"))


class TestFiles:
    def test_what_is_stored_is_read(self, tmp_path):
        stored = toy_predictor(space := Staircase(), depth=(1, 2))
        save(tmp_path / "p.safetensors", stored)
        found = read(tmp_path / "p.safetensors")
        assert (found.meaning, found.report) == (stored.meaning, stored.report)
        archs = sample(space)
        assert found.predict(archs).tolist() == stored.predict(archs).tolist()

    def test_the_output_is_the_mean_of_the_networks_in_percent(self):
        meaning = Meaning("x", Staircase(1).variables, {}, percent=10.0, base=50.0)
        ones = (np.ones((2, 4)), np.zeros(2)), (np.array([[1.0, -3.0]]), np.array([0.5]))
        zero = ((np.zeros((1, 4)), np.zeros(1)),)
        arch = Architecture.of({"depth": [1], "width": [8]})
        # two active inputs: (2 - 6 + 0.5) and 0
        assert Predictor(meaning, (ones, zero)).predict([arch]).tolist() == [50 + 10 * -1.75]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"0.weight": None}, "no accuracy predictor of a known kind"),
            ({"2.bias": None}, "missing: 2.bias"),
            ({"9.bias": torch.zeros(1)}, "not expected: 9.bias"),
            ({"6.weight": torch.zeros(1, 401)}, r"6.weight: \(1, 401\) in the file, expected"),
            ({"6.bias": torch.tensor([float("nan")])}, "not finite numbers: 6.bias"),
        ],
        ids=["other", "missing", "extra", "shape", "nan"],
    )
    def test_a_file_that_differs_is_refused_with_the_difference(self, change, message, tmp_path):
        state = {**tutorial_weights(), **change}
        torch.save({n: t for n, t in state.items() if t is not None}, tmp_path / "p.pth")
        with pytest.raises(WrongPredictor, match=message):
            read(tmp_path / "p.pth")

    def test_all_differences_are_told_at_once(self, tmp_path):
        state = {**tutorial_weights(), "6.bias": torch.zeros(2)}
        del state["2.bias"]
        torch.save(state, tmp_path / "p.pth")
        with pytest.raises(WrongPredictor, match=r"missing: 2.bias(.|\n)*6.bias: \(2,\)"):
            read(tmp_path / "p.pth")

    @pytest.mark.parametrize("name", ["p.npz", "p.pth", "p.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"not a file of arrays", b"PK\x03\x04 torn"])
    def test_what_is_no_file_of_arrays_is_refused(self, name, content, tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WrongPredictor, match="cannot be read"):
            read(tmp_path / name)

    def test_nothing_is_unpickled(self, tmp_path):
        np.savez(tmp_path / "p.npz", meaning=np.array([Path("/")], dtype=object))
        torch.save({"0.weight": Path("/")}, tmp_path / "p.pth")
        for name in ("p.npz", "p.pth"):
            with pytest.raises(WrongPredictor, match="cannot be read"):
                read(tmp_path / name)

    def test_a_missing_file_says_where_to_get_one(self, tmp_path):
        with pytest.raises(WrongPredictor, match=r"evaluator.file\).*acc_predictor.pth"):
            read(tmp_path / "none.pth")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": "collm-nas predictor 9"}, "format is 'collm-nas predictor 9'"),
            ({"sizes": [[12, 5, 2]] * 2}, "do not lead from 12 inputs to 1"),
            ({"sizes": [[12, 6, 1]] * 2}, r"other shapes: .*0\.0\.weight"),
            ({"meaning": {}}, "does not describe a predictor"),
        ],
    )
    def test_a_damaged_description_is_refused(self, change, message, tmp_path):
        save(path := tmp_path / "p.safetensors", toy_predictor(Staircase()))
        arrays, text = content(path)
        text = json.dumps({**json.loads(text), **change})
        save_file(arrays, path, {"collm_nas": text})
        with pytest.raises(WrongPredictor, match=message):
            read(path)
        np.savez(path.with_suffix(".npz"), **arrays, meaning=np.array(text))
        with pytest.raises(WrongPredictor, match=message):
            read(path.with_suffix(".npz"))

    def test_a_file_of_another_program_is_refused(self, tmp_path):
        save_file({"a": np.ones(3)}, tmp_path / "p.safetensors")
        with pytest.raises(WrongPredictor, match="does not describe a predictor"):
            read(tmp_path / "p.safetensors")

    def test_equal_predictors_make_equal_files(self, tmp_path):
        for name in ("a.safetensors", "b.safetensors"):
            save(tmp_path / name, toy_predictor(Staircase()))
        a, b = sorted(tmp_path.iterdir())
        assert a.read_bytes() == b.read_bytes()

    def test_a_file_of_version_0_1_0_is_read(self, tmp_path):
        save(tmp_path / "p.safetensors", stored := toy_predictor(space := Staircase()))
        arrays, text = content(tmp_path / "p.safetensors")
        np.savez_compressed(tmp_path / "old.npz", **arrays, meaning=np.array(text))
        old = read(tmp_path / "old.npz")
        assert (old.meaning, old.report) == (stored.meaning, stored.report)
        archs = sample(space)
        assert old.predict(archs).tolist() == stored.predict(archs).tolist()


def test_the_protocol_names_the_content_of_the_file(tutorial, tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(tutorial.read_bytes())
    save(tmp_path / "other.safetensors", toy_predictor(Staircase()))
    first, same = (PredictorEvaluator(ofa(), str(path)).protocol for path in (tutorial, copy))
    assert first == same
    assert PredictorEvaluator(Staircase(), str(tmp_path / "other.safetensors")).protocol != first


def test_a_predictor_of_ours_needs_no_torch(tmp_path, monkeypatch):
    save(tmp_path / "p.safetensors", toy_predictor(Staircase()))
    monkeypatch.setattr(predictor_file, "_read_torch", lambda path: pytest.fail("torch is used"))
    assert PredictorEvaluator(Staircase(), str(tmp_path / "p.safetensors")).evaluate(
        sample(Staircase())[0]
    )
