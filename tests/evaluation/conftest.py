"""A search of a tiny supernet with random weights, and what evaluate.py is told about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from collm_nas.cli import session
from tests.conftest import load, search_config
from tests.evaluator.conftest import space_of

SPACE = "shufflenet_tiny"
QUICK = ["evaluator.device=cpu", "evaluator.changes.bn_images=100"]
NAMES = [f"choices.{name}=x" for name in ("searchspace", "strategy", "llm", "recipe")]


@pytest.fixture(scope="session")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from collm_nas.spaces.checkpoint import save_supernet
    from collm_nas.spaces.supernet import build_supernet

    path = tmp_path_factory.mktemp("weights") / "supernet.safetensors"
    space = space_of(SPACE)
    torch.manual_seed(0)
    save_supernet(path, build_supernet(space), space)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def asked(supernet: Path, out: Path, *settings: str) -> DictConfig:
    """Compose what evaluate.py gets for an architecture that is no run's."""
    space = [f"searchspace={SPACE}", f"supernet={supernet}", f"out={out}"]
    return load("evaluate", *space, *QUICK, *NAMES, *settings)


@pytest.fixture
def run(supernet: Path, tmp_path: Path) -> Path:
    """Return the directory of a finished random search."""
    space = [f"searchspace={SPACE}", f"supernet={supernet}", "budget.evaluations=3"]
    cfg = search_config(*space, *QUICK, "evaluator.changes.images=50", strategy="random")
    session.run(cfg, tmp_path / "run")
    return tmp_path / "run"
