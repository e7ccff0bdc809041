"""The search of OFA subnets by their predictor, and what an independent predictor says of it."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from collm_nas.cli import session
from collm_nas.evaluator.predictor.file import read
from tests.conftest import SHARED, load

DATA = SHARED / "data" / "ofa_mbv3"
OFFICIAL = DATA / "official" / "acc_predictor.pth"
INDEPENDENT = DATA / "mit_ofa_acc_predictor.npz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing; see COLLM_SHARED"),
]


def search(strategy: str, run_dir: Path, *overrides: str) -> session.Parts:
    cfg = load(
        "search",
        "experiment=ofa_predictor_300m",
        f"evaluator.file={OFFICIAL}",
        f"strategy={strategy}",
        "llm=scripted",
        *(f"choices.{name}=x" for name in ("searchspace", "strategy", "llm", "recipe")),
        "report=line",
        *overrides,
    )
    session.run(cfg, run_dir)
    return session.build_parts(cfg, run_dir)


@pytest.mark.parametrize("strategy", ["random", "evolution_ofa", "collm"])
def test_the_winner_is_within_the_limit_and_within_the_budget(strategy, tmp_path):
    archive = search(strategy, tmp_path / "run", "budget.evaluations=130").archive
    best = archive.best()
    assert best is not None
    assert best.metrics["macs"] <= 300e6
    assert len(archive.evaluated()) == 130
    assert archive.score(best) > statistics.mean(map(archive.score, archive.feasible())) + 0.5


@pytest.mark.parametrize("strategy", ["evolution_ofa", "local_search", "collm"])
def test_what_was_found_is_better_than_random_by_a_predictor_that_others_trained(
    strategy, tmp_path
):
    """At 192 pixels, the one resolution of both predictors' training data that allows a choice."""
    judge = read(INDEPENDENT)
    at_192 = ["searchspace.resolutions=[192]"]
    found = search(strategy, tmp_path / "search", *at_192).archive.best()
    sampled = search("random", tmp_path / "random", *at_192).archive.evaluated()
    assert found is not None
    assert found.arch is not None
    verdicts = judge.predict([r.arch for r in sampled if r.arch is not None])
    verdict = float(judge.predict([found.arch])[0])
    assert verdict > verdicts.mean() + verdicts.std()
