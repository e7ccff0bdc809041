"""docs/notebook.md works as printed, and a search from Python is one that can be continued."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import collm_nas
from collm_nas import Budget, Problem, search
from collm_nas.core.archive import Archive, OtherSearch
from collm_nas.strategy.random import RandomSearch
from tests.conftest import ROOT, ToyWorld

(SNIPPET,) = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/notebook.md").read_text(), re.S | re.M
)


def test_the_snippet_is_short() -> None:
    assert len([line for line in SNIPPET.splitlines() if line]) < 15


def test_the_snippet_runs_without_torch(tmp_path: Path) -> None:
    search_part, _ = re.split(r"(?=^frame = )", SNIPPET, flags=re.M)
    code = SNIPPET if find_spec("pandas") else search_part
    code += "\nimport sys\nassert 'torch' not in sys.modules and len(archive.evaluated()) == 100"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "val_accuracy" in done.stdout
    assert sorted(p.name for p in (tmp_path / "runs/notebook").iterdir()) == [
        "archive.jsonl",
        "evaluations.jsonl",
    ]


def test_every_name_at_the_top_is_there_and_no_other() -> None:
    assert all(getattr(collm_nas, name) for name in collm_nas.__all__)
    with pytest.raises(AttributeError, match="'collm_nas' has no attribute 'serch'"):
        _ = collm_nas.serch  # type: ignore[attr-defined]


class TestASearch:
    def test_it_goes_on_and_repeats_no_evaluation(self, problem: Problem, tmp_path: Path) -> None:
        world = ToyWorld()
        strategy = RandomSearch(problem, seed=0, batch_size=4)
        assert len(search(problem, strategy, world, tmp_path, Budget(10)).evaluated()) == 10
        (tmp_path / "archive.jsonl").unlink()  # as after a kill in the first round
        search(problem, strategy, world, tmp_path, Budget(20))
        assert len(world.asked) == len({*world.asked}) == 20

    def test_another_search_is_refused(self, problem: Problem, tmp_path: Path) -> None:
        search(problem, RandomSearch(problem, 0, 1), ToyWorld(), tmp_path, Budget(2))
        with pytest.raises(OtherSearch, match="seed"):
            search(problem, RandomSearch(problem, 1, 1), ToyWorld(), tmp_path, Budget(2))


class TestTheTable:
    @pytest.fixture
    def archive(self, limited: Problem, tmp_path: Path) -> Archive:
        return search(limited, RandomSearch(limited, 0, 3), ToyWorld(), tmp_path, Budget(7))

    def test_it_has_a_row_for_each_candidate(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def rows_as_they_are(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return rows

        pandas = ModuleType("pandas")
        pandas.DataFrame = rows_as_they_are  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pandas", pandas)
        rows = archive.to_frame()
        assert [row["round"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert [row["verdict"] for row in rows[-2:]] == ["skipped", "skipped"]
        best = archive.best()
        assert best
        (row,) = (row for row in rows if row["arch"] == best.arch)
        assert {**best.metrics, "protocol": "toy", "verdict": "feasible"}.items() <= row.items()

    def test_it_is_a_data_frame(self, archive: Archive) -> None:
        pytest.importorskip("pandas")
        frame = archive.to_frame()
        best = archive.best()
        assert best
        assert frame.loc[frame.val_accuracy.idxmax(), "arch"] == best.arch
        assert len(frame) == len(archive.records())

    def test_without_pandas_it_says_what_to_install(
        self, archive: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ImportError, match=r"pip install 'collm-nas\[notebook\]'"):
            archive.to_frame()
