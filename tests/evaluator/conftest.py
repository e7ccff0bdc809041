"""Supernets with random weights in files, and a cache of their results for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from collm_nas.config.run import build
from collm_nas.spaces.base import SearchSpace
from tests.conftest import load

SPACES = ("shufflenet_tiny", "mobilenet_tiny", "autoformer_tiny32")


def space_of(name: str) -> SearchSpace:
    space: SearchSpace = build(load("search", f"searchspace={name}").searchspace)
    return space


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return files of random weights, by the option of the search space."""
    import torch

    from collm_nas.spaces.checkpoint import save_supernet
    from collm_nas.spaces.supernet import build_supernet

    folder, files = tmp_path_factory.mktemp("weights"), {}
    for name in SPACES:
        space = space_of(name)
        torch.manual_seed(0)
        files[name] = folder / f"{name}.safetensors"
        save_supernet(files[name], build_supernet(space), space)
    return files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
