"""CIFAR and ImageNet16-120, from files made here in the layout of the released ones."""

import pickle

import numpy as np
import pytest

from collm_nas.data.base import DataUnavailable
from collm_nas.data.cifar import CIFAR
from collm_nas.data.imagenet16 import TEST, TRAIN, ImageNet16


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def batch(count, side, labels, key="labels", seed=0):
    flat = np.random.default_rng(seed).integers(0, 256, (count, 3 * side**2), dtype=np.uint8)
    return {"data": flat, key: [labels[i % len(labels)] for i in range(count)]}


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    for i in range(1, 6):
        write(folder / f"data_batch_{i}", batch(20, 32, range(10), seed=i))
    write(folder / "test_batch", batch(10, 32, range(10), seed=6))
    write(folder / "batches.meta", {"label_names": [f"name{i}" for i in range(10)]})
    return tmp_path


@pytest.fixture
def imagenet16(tmp_path):
    for i, name in enumerate([*TRAIN, *TEST]):
        write(tmp_path / name, batch(300, 16, range(1, 151), seed=i))
    return tmp_path


def test_cifar10_comes_in_disjoint_splits(cifar10):
    data = CIFAR("cifar10", str(cifar10), search_val=3)
    assert data.classes[3] == "name3"
    sizes = {n: len(data.split(n)) for n in ("train_fit", "search_val", "train", "test")}
    assert sizes == {"train_fit": 70, "search_val": 30, "train": 100, "test": 10}
    seen = [data.split(n).read(0).tobytes() for n in ("train_fit", "search_val")]
    assert seen[0] != seen[1]
    assert data.split("train").digest != data.split("test").digest
    assert data.split("train").digest == CIFAR("cifar10", str(cifar10), 5).split("train").digest


def test_images_are_those_that_torchvision_reads(cifar10, monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda _: None)
    data = CIFAR("cifar10", str(cifar10), search_val=3)
    for name, train in (("train", True), ("test", False)):
        theirs, ours = CIFAR10(str(cifar10), train), data.split(name)
        assert ours.labels == tuple(theirs.targets)
        assert [ours.read(i).tobytes() for i in range(len(ours))] == [
            x.tobytes() for x, _ in theirs
        ]


def test_cifar100_is_read_by_its_fine_labels(tmp_path):
    folder = tmp_path / "cifar-100-python"
    write(folder / "train", batch(200, 32, range(100), "fine_labels"))
    write(folder / "test", batch(100, 32, range(100), "fine_labels"))
    write(folder / "meta", {"fine_label_names": [str(i) for i in range(100)]})
    data = CIFAR("cifar100", str(tmp_path), search_val=1)
    assert (len(data.classes), len(data.split("search_val"))) == (100, 100)


def test_missing_files_are_named_with_how_to_get_them(tmp_path):
    with pytest.raises(DataUnavailable, match=r"data_batch_1.*batches.meta.*data.download=true"):
        CIFAR("cifar10", str(tmp_path), search_val=3)
    with pytest.raises(DataUnavailable, match=r"train_data_batch_10, val_data.*image-net.org"):
        ImageNet16(str(tmp_path), search_val=3)


def test_a_download_that_fails_says_where_to_put_the_files(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", offline)
    with pytest.raises(DataUnavailable, match=r"cifar-10-python.tar.gz: no route.*unpack it in"):
        CIFAR("cifar10", str(tmp_path), search_val=3, download=True)


def test_imagenet16_keeps_the_first_120_classes_counted_from_0(imagenet16):
    data = ImageNet16(str(imagenet16), search_val=2)
    assert len(data.classes) == 120
    assert set(data.split("test").labels) == set(range(120))
    assert len(data.split("train")) == 10 * 240
    assert len(data.split("search_val")) == 240
    assert data.split("test").read(0).size == (16, 16)


def test_colours_are_planes_in_the_files(imagenet16):
    content = batch(300, 16, range(1, 151))
    content["data"][0] = np.repeat([200, 100, 50], 256)
    write(imagenet16 / "val_data", content)
    read = ImageNet16(str(imagenet16), search_val=2).split("test").read(0)
    assert read.getpixel((3, 4)) == (200, 100, 50)


class Evil:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "was refused.*print"),
        (pickle.dumps(batch(5, 16, [1]))[:1000], "damaged"),
        (pickle.dumps({"data": np.zeros((2, 768))}), "no batch of images: KeyError: 'labels'"),
        (pickle.dumps({"data": np.zeros((1, 768)), "labels": [1]}), "float64, not uint8"),
        (pickle.dumps({**batch(5, 16, [1]), "labels": [1]}), "no batch of images: ValueError"),
    ],
    ids=["hostile", "cut", "no labels", "floats", "too few labels"],
)
def test_files_of_another_kind_are_refused(imagenet16, content, message, capsys):
    (imagenet16 / "val_data").write_bytes(content)
    with pytest.raises(DataUnavailable, match=message):
        ImageNet16(str(imagenet16), search_val=2).split("test")
    assert "ran" not in capsys.readouterr().out


def test_more_cannot_be_held_out_than_there_is(imagenet16):
    with pytest.raises(DataUnavailable, match=r"20 of the 20 images.*data.search_val"):
        ImageNet16(str(imagenet16), search_val=20).split("search_val")
