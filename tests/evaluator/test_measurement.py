"""What belongs to the weights, what to the protocol; and what was trained on is called so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from collm_nas.data.arrays import array_split
from collm_nas.data.base import USUAL, Split, SplitName
from collm_nas.data.digits import Digits
from collm_nas.data.view import RandomView
from collm_nas.evaluator.protocol import PROTOCOLS
from collm_nas.evaluator.supernet import Measurement, SupernetEvaluator
from collm_nas.spaces.checkpoint import save_supernet
from collm_nas.spaces.supernet import build_supernet
from tests.evaluator.conftest import SPACES, space_of

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")
OWN = {"shufflenet_tiny": "opencv", "mobilenet_tiny": "bilinear", "autoformer_tiny32": "bicubic"}
OFA_VIEW = RandomView(scale=0.08, flip=True, brightness=32 / 255, saturation=0.5)


class PapersDigits(Digits):
    """Digits with the splits that ImageNet has."""

    splits = (*USUAL, "ofa_10k", "autoformer_100")

    def split(self, name: SplitName) -> Split:
        if name not in ("ofa_10k", "autoformer_100"):
            return super().split(name)
        images, labels = self._shuffled
        part = slice(900, 1100) if name == "ofa_10k" else slice(0, 400)
        return array_split(name, images[part], labels[part])


def measurement(name: str, path: Path, protocol: str = "clean", **settings: Any) -> Measurement:
    data = settings.pop("data", Digits)
    return SupernetEvaluator(
        space_of(name), str(path), data, protocol, settings, "cpu", 1
    ).measurement


@pytest.fixture
def released(tmp_path: Path) -> dict[str, Path]:
    """Return files as the authors of the supernets write them."""
    files = {}
    for name, key in zip(SPACES, ("state_dict", "state_dict", "model"), strict=True):
        files[name] = tmp_path / f"{name}.pth"
        torch.save({key: build_supernet(space_of(name)).state_dict()}, files[name])
    return files


def ours(path: Path, name: str = "mobilenet_tiny", **info: str) -> Path:
    space = space_of(name)
    save_supernet(path, build_supernet(space), space, info)
    return path


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("protocol", ["clean", "collm", "spos_repo", "spos_paper"])
def test_interpolation_is_that_of_the_weights_whichever_protocol(name, protocol, released):
    found = measurement(name, released[name], protocol)
    assert found.images.protocol.interpolation == OWN[name]
    assert found.images.view(32).interpolation == OWN[name]
    assert f"{protocol}:" in found.name or f"{protocol}," in found.name


def test_another_interpolation_or_pixel_format_is_told(released):
    name = "autoformer_tiny32"
    usual = measurement(name, released[name])
    other = measurement(name, released[name], interpolation="bilinear", pixels="bgr_0_255")
    assert "interpolation=bilinear,pixels=bgr_0_255" in other.name
    assert other.weights.pixels == "bgr_0_255"
    told = "; ".join(other.cautions)
    assert "scaled by bilinear; the weights are used to opencv" in told
    assert "pixels are given as bgr_0_255" in told
    assert not any("scaled" in caution or "pixels" in caution for caution in usual.cautions)
    same = measurement(name, released[name], interpolation="bicubic", pixels="imagenet_bicubic")
    assert len(same.cautions) == len(usual.cautions)
    with pytest.raises(ValueError, match=r"changes\.pixels must be .* got 'rgb'"):
        measurement(name, released[name], pixels="rgb")


def test_weights_that_say_how_they_saw_pixels_are_believed(tmp_path):
    found = measurement(
        "autoformer_tiny32", ours(tmp_path / "w", "autoformer_tiny32", pixels="imagenet")
    )
    assert found.images.protocol.interpolation == "bilinear"


def test_calibration_sees_images_as_the_authors_trained_or_in_the_centre(released, tmp_path):
    usual = measurement("mobilenet_tiny", released["mobilenet_tiny"])
    assert usual.images.bn_view == OFA_VIEW
    centre = measurement("mobilenet_tiny", released["mobilenet_tiny"], bn_view="centre")
    assert centre.images.bn_view is None
    assert "bn_view=centre" in centre.name
    views = [m.images.calibration(32).pixels_NHWC for m in (usual, centre)]
    assert views[0].shape == views[1].shape
    assert not torch.equal(*views)
    recipe = {
        "augmentation": {
            "_target_": "collm_nas.training.augmentation.RandomCrop",
            "flip": False,
        }
    }
    own = measurement("mobilenet_tiny", ours(tmp_path / "a", recipe=json.dumps(recipe)))
    assert own.images.bn_view == RandomView(flip=False), "nothing mirrors digits"
    recipe["augmentation"]["flip"] = True
    mirrored = measurement("mobilenet_tiny", ours(tmp_path / "b", recipe=json.dumps(recipe)))
    assert mirrored.images.bn_view == OFA_VIEW
    hashes = {m.name.rpartition(":")[2] for m in (usual, centre, own, mirrored)}
    assert len(hashes) == 4


def test_ofa_and_autoformer_rank_by_the_images_of_their_papers(released):
    for name, protocol, split in (
        ("mobilenet_tiny", "ofa", "ofa_10k"),
        ("autoformer_tiny32", "autoformer", "autoformer_100"),
    ):
        found = measurement(name, released[name], protocol, data=PapersDigits)
        assert found.images.ranking_split.name == split
        assert found.images.ranking_split.digest == PapersDigits().split(split).digest
        assert found.images.protocol.objective == "val_accuracy"
        elsewhere = measurement(name, released[name], protocol)
        assert elsewhere.images.ranking_split.name == "search_val"
        assert f"{protocol},ranking=" in elsewhere.name
        assert any(f"these images have no {split}" in caution for caution in elsewhere.cautions)


def test_released_weights_that_are_ranked_by_their_training_images_are_called_so(released):
    for name in SPACES:
        found = measurement(name, released[name], data=PapersDigits)
        assert "ranking=training_images" in found.name
        assert found.cautions[0].startswith("NOT HELD OUT: these weights were trained on")
        assert not measurement(name, released[name], "collm", data=PapersDigits).seen
    ofa, path = "mobilenet_tiny", released["mobilenet_tiny"]
    assert "evaluator.protocol=ofa" in measurement(ofa, path, data=PapersDigits).cautions[0]
    assert measurement(ofa, path, "ofa", data=PapersDigits).cautions == ()
    former = measurement(
        "autoformer_tiny32", released["autoformer_tiny32"], "autoformer", data=PapersDigits
    )
    assert former.seen == "training_images", "AutoFormer trained on them nevertheless"
    assert measurement(ofa, path).seen == "perhaps_trained_on", "not ImageNet"


def test_a_split_that_was_not_held_out_in_training_is_called_so(tmp_path):
    splits = {name: Digits().split(name).digest for name in ("search_val", "test")}
    known = ours(tmp_path / "a", data=json.dumps(splits))
    assert measurement("mobilenet_tiny", known).cautions == ()
    assert measurement("mobilenet_tiny", known, "collm").cautions == ()
    assert measurement("mobilenet_tiny", known, ranking="train").seen == "training_images"
    other = ours(tmp_path / "b", data=json.dumps({**splits, "search_val": "of another share"}))
    (caution,) = measurement("mobilenet_tiny", other).cautions
    assert caution.startswith("PERHAPS NOT HELD OUT: the images of search_val")
    everything = ours(tmp_path / "c", data=json.dumps(splits), trained_on="train")
    assert measurement("mobilenet_tiny", everything).seen == "perhaps_trained_on"


def test_the_name_says_how_many_images_there_were(tmp_path):
    path = ours(tmp_path / "w")
    found = measurement("mobilenet_tiny", path, images=5000, bn_images=3000)
    assert found.name.startswith("clean,images=300,bn_images=1000:")
    assert measurement("mobilenet_tiny", path, bn_images=200).name.startswith(
        "clean,bn_images=200:"
    )


def test_the_hash_follows_what_is_measured_and_not_how_it_is_called(tmp_path):
    found = measurement("mobilenet_tiny", ours(tmp_path / "w"), bn_view="centre")
    seen = replace(found, seen="training_images")
    assert seen.name != found.name
    assert seen.name.rpartition(":")[2] == found.name.rpartition(":")[2]
    assert set(PROTOCOLS) == {"clean", "collm", "ofa", "spos_repo", "spos_paper", "autoformer"}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *((key, text) for key in ("recipe", "data") for text in ("null", "[]", '"x"', "5", "{")),
        *(("classes", text) for text in ("{}", '"x"', "5", "[5]", "[" * 100_000)),
        ("data", '{"test": 5}'),
        ("recipe", '{"augmentation": {"flip": false, "scale": -1}}'),
        ("pixels", "rgb"),
    ],
)
def test_weights_that_say_odd_things_of_themselves_are_refused(key, text, tmp_path):
    path = ours(tmp_path / "own.safetensors", **{key: text})
    with pytest.raises(ValueError, match=rf"damaged: .*{key}|RandomView: scale|no pixel form"):
        measurement("mobilenet_tiny", path)
