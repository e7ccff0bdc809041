"""The rules of ImageNet, on a folder of three classes that the constants are set to."""

import os

import pytest

from collm_nas.data import imagenet
from collm_nas.data.base import DataUnavailable
from collm_nas.data.imagenet import ImageNet
from collm_nas.data.splits import autoformer_sampled
from tests.data.test_imagefolder import names, write_images

WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(imagenet, "CLASSES", 3)
    monkeypatch.setattr(imagenet, "TRAIN_IMAGES", 330)
    monkeypatch.setattr(imagenet, "TEST_IMAGES", 6)
    for wnid in WNIDS:
        write_images(tmp_path / "imagenet" / "train" / wnid, 110, "JPEG", (6, 5))
        write_images(tmp_path / "imagenet" / "val" / wnid, 2, "JPEG", (6, 5))
    return tmp_path / "imagenet"


def test_50_of_each_class_are_held_out(root):
    data = ImageNet(str(root))
    assert data.classes == WNIDS
    sizes = {n: len(data.split(n)) for n in ("train_fit", "search_val", "train", "test")}
    assert sizes == {"train_fit": 180, "search_val": 150, "train": 330, "test": 6}


def test_the_images_of_autoformer_are_held_out(root):
    data = ImageNet(str(root), "autoformer_100")
    everything = names(data.split("train"))
    chosen = [everything[i] for i in autoformer_sampled(data.split("train").labels)]
    assert names(data.split("search_val")) == chosen == sorted(chosen)


def test_a_part_of_imagenet_is_refused_before_a_split_is_wrong(root):
    os.remove(root / "train" / WNIDS[0] / "000.JPEG")
    with pytest.raises(DataUnavailable, match=r"329 images of 3 classes, not 330.*\n.*imagefolder"):
        ImageNet(str(root))


def test_a_flat_folder_of_validation_images_says_what_to_do(root):
    for folder in list((root / "val").iterdir()):
        for file in folder.iterdir():
            file.rename(root / "val" / f"{folder.name}_{file.name}")
        folder.rmdir()
    with pytest.raises(DataUnavailable, match=r"val has no folders.*valprep\.sh"):
        ImageNet(str(root))


def test_where_it_is_not_the_error_says_how_to_name_it(tmp_path):
    with pytest.raises(DataUnavailable, match=r"no train and no val\..*data\.root.*IMAGENET"):
        ImageNet(str(tmp_path))
    with pytest.raises(ValueError, match=r"'per_class_50', 'ofa_10k' or 'autoformer_100', got 'x'"):
        ImageNet(str(tmp_path), "x")
