"""Where cached files are, and that what earlier versions kept elsewhere is found there."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collm_nas.core.cache import cache_dir


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLLM_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_the_cache_is_the_users_or_the_one_that_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_dir() == home / ".cache" / "collm-nas"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert cache_dir() == home / "xdg" / "collm-nas"
    monkeypatch.setenv("COLLM_CACHE", "~/weights")
    assert cache_dir() == home / "weights"
    assert not [*home.iterdir()], "asking makes no folders"


@pytest.mark.parametrize("variable", [None, "XDG_CACHE_HOME", "TORCH_HOME"])
def test_what_torch_hub_held_is_moved_and_told_once(
    variable: str | None,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub = ".cache/torch/hub" if variable is None else "mine/torch/hub"
    if variable == "TORCH_HOME":
        hub = "mine/hub"
    if variable:
        monkeypatch.setenv(variable, str(home / "mine"))
    new = home / ("mine" if variable == "XDG_CACHE_HOME" else ".cache") / "collm-nas"
    old = home / hub / "collm-nas"
    write(old / "supernet.pth", "weights")
    write(old / "evaluations" / "space" / "a.jsonl", "results")
    write(new / "models" / "m.gguf", "model")
    assert cache_dir() == new
    assert files(new) == {
        "supernet.pth": "weights",
        "evaluations/space/a.jsonl": "results",
        "models/m.gguf": "model",
    }
    assert not old.exists()
    told = capsys.readouterr()
    assert told.err == f"What earlier versions cached in {old} is now in {new}\n"
    cache_dir()
    assert capsys.readouterr() == ("", "")


def test_latencies_in_a_named_cache_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLM_CACHE", str(home / "own"))
    write(home / "own" / "collm-nas" / "latency" / "space.jsonl", "1 ms")
    write(home / "own" / "latency" / "other.jsonl", "2 ms")
    root = cache_dir()
    assert files(root) == {"latency/space.jsonl": "1 ms", "latency/other.jsonl": "2 ms"}


def test_folders_are_merged_and_of_two_namesakes_none_is_lost(home: Path) -> None:
    old, new = home / ".cache/torch/hub/collm-nas", home / ".cache/collm-nas"
    write(old / "evaluations" / "space" / "a.jsonl", "old a")
    write(old / "evaluations" / "space" / "b.jsonl", "old b")
    write(new / "evaluations" / "space" / "b.jsonl", "new b")
    cache_dir()
    assert files(new / "evaluations" / "space") == {"a.jsonl": "old a", "b.jsonl": "new b"}
    assert files(old) == {"evaluations/space/b.jsonl": "old b"}


def test_what_lies_on_another_disk_stays_and_is_linked_to(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rename(path: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(path))

    old = home / ".cache/torch/hub/collm-nas"
    write(old / "images" / "large.npy", "pixels")
    monkeypatch.setattr(Path, "rename", rename)
    root = cache_dir()
    assert (root / "images" / "large.npy").read_text() == "pixels"
    write(root / "images" / "more.npy", "more")
    assert files(old) == {"images/large.npy": "pixels", "images/more.npy": "more"}
    capsys.readouterr()
    cache_dir()
    assert capsys.readouterr() == ("", "")


def test_a_cache_that_cannot_be_made_is_left_to_those_who_write(home: Path) -> None:
    write(home / ".cache/torch/hub/collm-nas/supernet.pth", "weights")
    write(home / ".cache/collm-nas", "a file where a folder should be")
    assert cache_dir() == home / ".cache/collm-nas"
    assert (home / ".cache/torch/hub/collm-nas/supernet.pth").read_text() == "weights"


def test_processes_that_begin_together_find_all(home: Path) -> None:
    old = home / ".cache/torch/hub/collm-nas"
    for number in range(200):
        write(old / f"{number}.pth", str(number))

    def found(_: int) -> int:
        return len([*cache_dir().iterdir()])

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(found, range(4))] == [200] * 4
