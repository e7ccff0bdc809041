import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from collm_nas.data.base import BrokenImage, DataUnavailable
from collm_nas.data.decoded import decoded
from collm_nas.data.digits import Digits
from collm_nas.data.view import View

VIEW = View(16, 1.0)


@pytest.fixture
def split():
    return Digits().split("search_val")


def unreadable(position):
    raise AssertionError("read again")


def test_images_are_those_of_the_view_in_the_order_asked_for(split, tmp_path):
    positions = [*range(100, 0, -1)]
    for workers in (1, 3):
        pixels = decoded(split, positions, VIEW, tmp_path / str(workers), workers)
        assert pixels.shape == (100, 16, 16, 3)
        for place in (0, 63, 64, 99):
            seen = VIEW.apply(split.read(positions[place]), positions[place])
            assert np.array_equal(pixels[place], seen)


def test_they_are_decoded_once(split, tmp_path):
    first = decoded(split, range(80), VIEW, tmp_path)
    again = decoded(replace(split, read=unreadable), range(80), VIEW, tmp_path)
    assert np.array_equal(first, again)
    assert isinstance(again, np.memmap)
    for other in (replace(split, digest="x", read=unreadable), replace(split, read=unreadable)):
        view = VIEW if other.digest == "x" else replace(VIEW, seed=1)
        with pytest.raises(AssertionError, match="read again"):
            decoded(other, range(80), view, tmp_path)


def test_callers_at_the_same_time_decode_once(split, tmp_path):
    read = []
    counting = replace(split, read=lambda i: read.append(i) or split.read(i))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: decoded(counting, range(70), VIEW, tmp_path), range(4)))
    assert len(read) == 70


@pytest.mark.parametrize("left", [0, 50, 1000])
def test_a_file_that_was_cut_is_made_again(split, tmp_path, left):
    first = np.array(decoded(split, range(10), VIEW, tmp_path))
    (file,) = tmp_path.glob("*.npy")
    os.truncate(file, left)
    assert np.array_equal(decoded(split, range(10), VIEW, tmp_path), first)


def test_a_broken_image_ends_it_and_leaves_no_file(split, tmp_path):
    def read(position):
        if position == 70:
            raise BrokenImage("x.jpg cannot be decoded")
        return split.read(position)

    with pytest.raises(BrokenImage, match=r"x\.jpg"):
        decoded(replace(split, read=read), range(200), VIEW, tmp_path, workers=2)
    assert [file.suffix for file in tmp_path.iterdir()] == [".lock"]


def test_where_nothing_can_be_written_the_error_says_how_much_and_where(split, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataUnavailable, match=r"file/search_val.*GB.*COLLM_CACHE"):
        decoded(split, range(3), VIEW, tmp_path / "file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full to write to")
def test_a_full_disk_is_an_error_that_says_so(split, tmp_path):
    decoded(split, range(3), VIEW, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.unlink()
    file.with_name(f".part-{file.name}").symlink_to("/dev/full")
    with pytest.raises(DataUnavailable, match=r"No space left.*Make room"):
        decoded(split, range(3), VIEW, tmp_path)
    assert not file.exists()
