"""Compare stored runs: `python compare.py 'runs=[runs/nasbench201]'`.

All arms are cut to the same number of evaluations. `table=FILE` opens the sealed test accuracies.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.entry import start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> None:
    """Read the runs, print the table, draw the picture."""
    from collm_nas.report import comparison
    from collm_nas.report.sealed import test_accuracy
    from collm_nas.report.stored import read_runs
    from collm_nas.settings import ComparisonSettings, check

    check(cfg, ComparisonSettings)
    runs = read_runs([Path(path) for path in cfg.runs])
    evaluations = comparison.common_evaluations(runs)
    test = test_accuracy(runs[0].space(), cfg.table) if cfg.table else None
    rows = comparison.compare(runs, evaluations, test)
    comparison.print_comparison(rows, runs[0].archive.objective, evaluations)
    print("picture:", comparison.draw(runs, evaluations, Path(cfg.picture)))


if __name__ == "__main__":
    start(main, "compare", Path(__file__).parent / "conf")
