import os
import warnings

import numpy as np
import pytest
from PIL import Image

from collm_nas.data.base import BrokenImage, DataUnavailable
from collm_nas.data.imagefolder import ImageFolder
from tests.conftest import SHARED


def write_images(folder, count, suffix="jpg", size=(10, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        shade = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(shade).save(folder / f"{i:03}.{suffix}")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path):
    """Two classes in ImageNet's layout: 20 images each to train, 5 each to test."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / "train" / name, 20)
        write_images(tmp_path / "photos" / "val" / name, 5)
    return tmp_path / "photos"


def names(split):
    return [os.fsdecode(name) for name in split.read.args[1].tolist()]


def test_the_layout_of_imagenet_gives_three_disjoint_splits(photos):
    data = ImageFolder(str(photos), search_val=0.1)
    assert data.classes == ("cat", "dog")
    assert {n: len(data.split(n)) for n in ("train_fit", "search_val", "train", "test")} == {
        "train_fit": 36,
        "search_val": 4,
        "train": 40,
        "test": 10,
    }
    parts = [set(names(data.split(n))) for n in ("train_fit", "search_val")]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(names(data.split("train")))
    assert data.split("search_val").labels == (0, 0, 1, 1)


def test_class_folders_alone_are_split_in_three(tmp_path):
    for name in "ab":
        write_images(tmp_path / "flat" / name, 20)
    data = ImageFolder(str(tmp_path / "flat"), search_val=3, test=0.25)
    parts = {n: set(names(data.split(n))) for n in ("train_fit", "search_val", "test")}
    assert {n: len(p) for n, p in parts.items()} == {"train_fit": 24, "search_val": 6, "test": 10}
    assert len(set.union(*parts.values())) == 40


def only_image(folder):
    """Read the one image of class a that is added to three others, as a training does."""
    data = ImageFolder(str(folder), search_val=1, test=1)
    read = []
    for name in ("train", "test"):
        split = data.split(name)
        read += [split.read(i) for i, n in enumerate(names(split)) if n.startswith("a/odd")]
    (found,) = read
    return found


def test_deep_grey_is_scaled_and_has_a_digest_of_its_own(tmp_path):
    write_images(tmp_path / "x" / "a", 3)
    for value in (20_000, 45_000):
        Image.fromarray(np.full((9, 9), value, np.uint16)).save(tmp_path / "x" / "a" / "odd.png")
        assert only_image(tmp_path / "x").getpixel((4, 4)) == (value >> 8,) * 3
    deep = ImageFolder(str(tmp_path / "x"), search_val=1, test=1)
    from collm_nas.data.splits import digest

    known = [split.digest for split in map(deep.split, ("train", "test"))]
    listing = deep._parts["train"][0]
    usual = [
        digest(listing.names[p].tolist(), listing.labels[p], listing.sizes[p])
        for _, p in (deep._parts["train"], deep._parts["test"])
    ]
    assert sum(a != b for a, b in zip(known, usual, strict=True)) == 1, "accuracies of old are void"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_photographs_are_turned_as_programs_show_them(tmp_path, suffix):
    write_images(tmp_path / "x" / "a", 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: the top row is stored as the left column
    stored = Image.new("RGB", (12, 8))
    stored.paste((250, 0, 0), (0, 0, 6, 8))
    stored.save(tmp_path / "x" / "a" / f"odd.{suffix}", exif=exif)
    shown = only_image(tmp_path / "x")
    assert shown.size == (8, 12)
    assert shown.getpixel((4, 1))[0] > 200 > 50 > shown.getpixel((4, 10))[0]


def test_images_as_they_are_stored_have_another_digest_only_if_some_are_turned(tmp_path):
    write_images(tmp_path / "x" / "a", 6)
    digests = [
        ImageFolder(str(tmp_path / "x"), upright=upright).split("train").digest
        for upright in (True, None)
    ]
    assert digests[0] == digests[1]
    exif = Image.Exif()
    exif[0x0112] = 3
    for file in (tmp_path / "x" / "a").iterdir():
        with Image.open(file) as image:
            image.load()
        image.save(file, exif=exif)
    (tmp_path / "x" / "a" / "000.jpg").rename(tmp_path / "x" / "a" / "100.jpg")
    seen = [
        ImageFolder(str(tmp_path / "x"), upright=upright).split("train") for upright in (True, None)
    ]
    assert seen[0].digest != seen[1].digest
    turned = seen[1].read(0).transpose(Image.Transpose.ROTATE_180)
    assert seen[0].read(0).tobytes() == turned.tobytes()


def test_what_has_no_white_is_left_out_by_name_with_the_reason(tmp_path):
    write_images(tmp_path / "x" / "a", 6)
    Image.fromarray(np.full((9, 9), 0.5, np.float32)).save(tmp_path / "x" / "a" / "odd.tif")
    with pytest.warns(UserWarning, match=r"a/odd.tif \(odd.tif: its pixels are floating-point"):
        data = ImageFolder(str(tmp_path / "x"))
    assert len(data.split("train")) + len(data.split("test")) == 6


def test_images_in_formats_that_are_not_read_are_named(tmp_path):
    write_images(tmp_path / "x" / "a", 6)
    write_images(tmp_path / "x" / "a", 2, "gif")
    with pytest.warns(UserWarning, match=r"a/000.gif, a/001.gif .* are left out.*Convert"):
        data = ImageFolder(str(tmp_path / "x"))
    assert len(data.split("train")) + len(data.split("test")) == 6


def test_the_splits_are_known_from_the_index_until_a_folder_changes(photos, cache, monkeypatch):
    first = ImageFolder(str(photos)).split("train").digest
    monkeypatch.setattr("collm_nas.data.listing._look", None)  # a second look would fail
    assert ImageFolder(str(photos)).split("train").digest == first
    monkeypatch.undo()
    monkeypatch.setenv("COLLM_CACHE", str(cache))
    (photos / "train" / "cat" / "000.jpg").unlink()
    again = ImageFolder(str(photos)).split("train")
    assert len(again) == 39
    assert again.digest != first


def test_a_damaged_index_is_made_again(photos, cache):
    first = ImageFolder(str(photos)).split("train").digest
    for index in (cache / "listings").glob("*.npz"):
        index.write_bytes(index.read_bytes()[:100])
    assert ImageFolder(str(photos)).split("train").digest == first


def test_the_digest_tells_the_same_names_at_another_size_apart(tmp_path):
    for name, size in (("small", (8, 8)), ("large", (32, 32))):
        write_images(tmp_path / name / "a", 6, size=size)
    digests = {
        ImageFolder(str(tmp_path / name)).split("train").digest for name in ("small", "large")
    }
    assert len(digests) == 2


def test_broken_images_are_named_and_left_out(photos):
    folder = photos / "train" / "cat"
    whole = (folder / "000.jpg").read_bytes()
    (folder / "000.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "001.jpg").write_bytes(b"")
    (folder / "002.jpg").write_bytes(b"<html>not found</html>")
    with pytest.warns(UserWarning, match=r"3 of 40 images .*cat/000.jpg, cat/001.jpg, cat/002.jpg"):
        data = ImageFolder(str(photos))
    assert len(data.split("train")) == 37
    for name in ("train_fit", "search_val"):
        split = data.split(name)
        assert all(split.read(i) for i in range(len(split)))
    with pytest.raises(DataUnavailable, match=r"data.max_broken=3"):
        ImageFolder(str(photos), max_broken=2)


def test_an_image_that_breaks_later_is_named(photos):
    split = ImageFolder(str(photos)).split("test")
    (photos / "val" / "cat" / "000.jpg").write_bytes(b"overwritten in place")
    with pytest.raises(BrokenImage, match=r"val/cat/000.jpg cannot be decoded"):
        split.read(0)


def test_what_is_not_such_a_folder_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DataUnavailable, match=r"no folder .*missing \(config key: data.root\)"):
        ImageFolder(str(tmp_path / "missing"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataUnavailable, match="no folders of classes"):
        ImageFolder(str(tmp_path / "none"))
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    with pytest.raises(DataUnavailable, match=r"no images in these folders .*: a"):
        ImageFolder(str(tmp_path / "hollow"))


def test_train_and_val_must_have_the_same_classes(photos):
    (photos / "val" / "dog").rename(photos / "val" / "wolf")
    with pytest.raises(DataUnavailable, match=r"train has dog; only .*val has wolf"):
        ImageFolder(str(photos))


def test_wrong_shares_are_refused_all_at_once(photos):
    with pytest.raises(ValueError, match=r": search_val .*\n.*: test .*\n.*: crop_ratio"):
        ImageFolder(str(photos), search_val=0, test=1.5, crop_ratio=2)
    with pytest.raises(DataUnavailable, match=r"hold out 20 of the 20 .*data.search_val"):
        ImageFolder(str(photos), search_val=20)


@pytest.mark.skipif(
    not (SHARED / "data" / "imagenette128").is_dir(),
    reason="no imagenette128 in COLLM_SHARED/data",
)
def test_real_photos_come_in_torchvisions_order():
    from torchvision import datasets

    root = SHARED / "data" / "imagenette128"
    theirs = datasets.ImageFolder(str(root / "train"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = ImageFolder(str(root)).split("train")
    assert [str(root / "train" / name) for name in names(ours)] == [p for p, _ in theirs.samples]
    assert list(ours.labels) == theirs.targets
