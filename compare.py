"""Compare stored runs: `python compare.py 'runs=[runs/nasbench201]'`.

Arms are configurations without their seed, all cut to the same number of evaluations.
docs/compare.md tells the rest. `table=FILE` opens the sealed test accuracies.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.cli.entry import Done, start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> Done:
    """Read the runs, print the tables, draw the picture."""
    from collm_nas.cli.settings import ComparisonSettings, check
    from collm_nas.core.printable import say
    from collm_nas.report import comparison
    from collm_nas.report.gathering import gather
    from collm_nas.report.next_command import evaluation_of
    from collm_nas.report.sealed import test_accuracy

    check(cfg, ComparisonSettings)
    found = gather(cfg.runs, cfg.evaluations)
    for one in found.comparisons:
        test = test_accuracy(one.arms[0].runs[0].space(), cfg.table) if cfg.table else None
        comparison.print_comparison(one, comparison.compare(one, test))
    comparison.print_notes(found)
    say(f"picture: {comparison.draw(found.comparisons, Path(cfg.picture))}")
    best = [one.best_run() for one in found.comparisons]
    commands = [evaluation_of(run.config, run.directory, cfg.table) for run in best]
    return Done(next="\n".join(filter(None, commands)))


if __name__ == "__main__":
    start(main, "compare", Path(__file__).parent / "conf")
