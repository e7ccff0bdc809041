"""The experiments for two cores, as they are typed: from random weights to a test accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.test_commands import run

PHOTOGRAPHS = SHARED / "data" / "imagenette128"
CHANCE = 10.0  # percent: ten classes
MINUTES = 60

pytestmark = [pytest.mark.slow, pytest.mark.long]


def train_and_search(work: Path, *overrides: str) -> dict[str, float]:
    """Train a supernet and rank 10 random subnets of it; return the metrics of the best."""
    weights, searched = work / "train" / "supernet.safetensors", work / "search"
    cache = {"COLLM_CACHE": str(work / "cache")}
    trained = run(
        "train_supernet.py", *overrides, f"run_dir={weights.parent}", limit=15 * MINUTES, **cache
    )
    assert trained.returncode == 0, trained.stderr
    found = run(
        "search.py", *overrides, f"supernet={weights}", "strategy=random", "budget.evaluations=10",
        f"run_dir={searched}", limit=10 * MINUTES, **cache,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    best: dict[str, float] = json.loads((searched / "result.json").read_text())["best"]["metrics"]
    unsealed = run("evaluate.py", f"run={searched}", limit=5 * MINUTES, **cache)
    assert unsealed.returncode == 0, unsealed.stderr
    return best


def test_digits_demo_reaches_the_accuracy_that_it_states(tmp_path):
    best = train_and_search(tmp_path, "experiment=digits_demo")
    assert best["val_accuracy"] > 85


@pytest.mark.parametrize(
    ("experiment", "shorter"),
    [
        ("spos_small", ["recipe.phases.0.epochs=4", "recipe.phases.0.warmup_epochs=1"]),
        ("ofa_small", [f"recipe.phases.{i}.epochs=1" for i in range(4)]),
        ("autoformer_small", ["recipe.phases.0.epochs=3", "recipe.phases.0.warmup_epochs=1"]),
    ],
)
def test_a_small_experiment_learns_even_when_it_is_cut_short(experiment, shorter, tmp_path):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip(f"{PHOTOGRAPHS} is missing: set COLLM_SHARED to the folder that has it")
    best = train_and_search(
        tmp_path, f"experiment={experiment}", f"data.root={PHOTOGRAPHS}", *shorter
    )
    assert best["val_accuracy"] > 2 * CHANCE
