"""The four commands, as scripts of a checkout and as pip installs them.

Each imports what it needs once it runs: Ctrl-C is answered from the start, and help does not wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.cli.entry import Done, start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train_supernet() -> None:
    """Train a supernet."""
    start(_train, "train_supernet")


def search() -> None:
    """Search a space."""
    start(_search, "search")


def evaluate() -> None:
    """Say what an architecture is worth."""
    start(_evaluate, "evaluate", copied="arch")


def compare() -> None:
    """Compare stored runs."""
    start(_compare, "compare")


def _train(cfg: DictConfig) -> Done:
    """Compose, build, train, report."""
    from hydra.core.hydra_config import HydraConfig

    from collm_nas.cli.compose import choose_training_dir
    from collm_nas.cli.settings import SupernetSettings, check

    check(cfg, SupernetSettings)
    from collm_nas.cli import training_run as training

    run_dir = choose_training_dir(cfg)
    result = training.run(cfg, run_dir)
    return Done(run_dir, training.next_step(HydraConfig.get().overrides.task, result))


def _search(cfg: DictConfig) -> Done:
    """Compose, build, run, report."""
    from collm_nas.cli import session
    from collm_nas.cli.compose import choose_llm, choose_run_dir, recorded, with_other_model
    from collm_nas.cli.settings import SearchSettings, check

    cfg = recorded(cfg) if cfg.replay else choose_llm(cfg)
    check(cfg, SearchSettings, source=f"{cfg.replay}/config.yaml" if cfg.replay else "")
    if cfg.estimate:
        from collm_nas.cli.estimate import print_estimate

        print_estimate(cfg)
        return Done()
    run_dir = choose_run_dir(cfg)
    result = session.run(with_other_model(cfg), run_dir)
    return Done(run_dir, session.next_step(cfg, run_dir, result))


def _evaluate(cfg: DictConfig) -> Done:
    """Take the settings of the run, evaluate, report."""
    from hydra.core.hydra_config import HydraConfig

    from collm_nas.cli.compose import with_settings_of_run
    from collm_nas.cli.evaluate import command
    from collm_nas.cli.settings import EvaluationSettings, check, of_evaluation

    check(cfg, EvaluationSettings)
    cfg = with_settings_of_run(cfg)
    source = f"{cfg.run}/config.yaml" if cfg.run else ""
    check(cfg, *of_evaluation(command.mode_of(cfg), cfg.stand_alone == "train"), source=source)
    command.run(cfg)
    return Done(next=command.next_step(cfg, HydraConfig.get().overrides.task))


def _compare(cfg: DictConfig) -> Done:
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
