"""What `evaluate.py` does, by `mode`. Every mode tells what its numbers mean and keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from collm_nas.problem import Evaluator
from collm_nas.report import sealed
from collm_nas.report.evaluations import FILE, read
from collm_nas.report.stored import read_run
from collm_nas.run import UserError, build
from collm_nas.searchspace.base import SearchSpace

if TYPE_CHECKING:
    from collm_nas.evaluation.bench import Bench
    from collm_nas.evaluation.subject import Subject

TABULAR = "collm_nas.evaluator.tabular"  # modules of evaluators that look up a benchmark


def run(cfg: DictConfig) -> None:
    """Evaluate what `cfg` names.

    Raises:
        UserError: a setting is wrong, or something is missing; all that is wrong is told.
    """
    mode = cfg.mode or _usual_mode(cfg)
    if mode not in MODES:
        raise UserError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    try:
        MODES[mode](cfg)
    except ValueError as error:
        raise UserError(str(error)) from error


def _usual_mode(cfg: DictConfig) -> str:
    """Return `table` for a search of a table, else `inherit`."""
    if cfg.run is None or cfg.arch is not None:
        return "inherit"
    target = str(read_run(Path(cfg.run)).config.evaluator._target_)
    return "table" if target.startswith(TABULAR) else "inherit"


def _table(cfg: DictConfig) -> None:
    if cfg.run is None:
        raise UserError("mode=table reads the test accuracy of what a run found: run=…")
    sealed.evaluate(read_run(Path(cfg.run)), cfg.rank, cfg.table)


def _inherit(cfg: DictConfig) -> None:
    from collm_nas.evaluation.bench import build_bench
    from collm_nas.evaluation.inherit import evaluate_inherited
    from collm_nas.evaluation.subject import find_subject

    subject = find_subject(cfg)
    evaluate_inherited(subject, build_bench(cfg, subject.space), _seeds(cfg), cfg.controls)


def _export(cfg: DictConfig) -> None:
    from collm_nas.evaluation.shipping import export
    from collm_nas.evaluation.subject import find_subject

    subject = find_subject(cfg)
    export(subject, _weights(cfg, subject), cfg.searchspace)


def _weights(cfg: DictConfig, subject: Subject) -> Bench:
    """Return the bench of the weights that the key `weights` names."""
    from collm_nas.evaluation.bench import build_bench
    from collm_nas.supernet.alone import OneNetwork

    if cfg.weights == "inherited":
        return build_bench(cfg, subject.space)
    wire = json.loads(json.dumps(subject.space.encode(subject.arch)))
    for entry in read(subject.directory / FILE):
        if entry["mode"] == cfg.weights and entry["architecture"] == wire and "weights" in entry:
            one = OneNetwork(subject.space, subject.arch)
            return build_bench(cfg, one, entry["weights"][0])
    raise UserError(
        f"weights={cfg.weights}: {subject.directory / FILE} tells of no such training of this "
        "architecture. It must be inherited, or retrain or finetune after that mode has run"
    )


def _trained(cfg: DictConfig, mode: str) -> None:
    from collm_nas.evaluation.alone import evaluate_trained
    from collm_nas.evaluation.bench import build_bench
    from collm_nas.evaluation.subject import find_subject

    subject = find_subject(cfg)
    start = build_bench(cfg, subject.space) if mode == "finetune" else None
    evaluate_trained(cfg, mode, subject, _seeds(cfg), start)


def _supernet_report(cfg: DictConfig) -> None:
    from collm_nas.evaluation.bench import build_bench
    from collm_nas.evaluation.subject import official_space
    from collm_nas.evaluation.trust import supernet_report

    space = official_space(cfg.searchspace)
    bench = build_bench(cfg, space)
    directory = Path(cfg.out or Path("runs", "evaluate", space.identity))
    alone = _stand_alone(cfg, space, directory)
    images = [int(count) for count in cfg.report.calibration_images]
    supernet_report(bench, alone, cfg.report.subnets, images, cfg.seed, directory)


def _stand_alone(cfg: DictConfig, space: SearchSpace, directory: Path) -> Evaluator | None:
    """Return what knows subnets that were trained on their own, as the key `stand_alone` says."""
    match cfg.stand_alone:
        case None:
            return None
        case "train":
            from collm_nas.evaluation.alone import TrainedAlone

            return TrainedAlone(cfg, space, directory / "alone")
        case DictConfig():
            evaluator: Evaluator = build(cfg.stand_alone, space=space)
            return evaluator
    raise UserError(
        f"stand_alone must be train, or an evaluator (+evaluator@stand_alone=tabular), got "
        f"{cfg.stand_alone!r}"
    )


def _seeds(cfg: DictConfig) -> list[int]:
    seeds = list(cfg.seeds)
    if not seeds or not all(isinstance(s, int) and s >= 0 for s in seeds):
        raise UserError(f"seeds must be a list of numbers from 0, e.g. seeds=[0,1,2], got {seeds}")
    if len({*seeds}) < len(seeds):
        raise UserError(f"seeds={seeds}: one is named twice, which would make the spread too small")
    return seeds


MODES: dict[str, Callable[[DictConfig], None]] = {
    "table": _table,
    "inherit": _inherit,
    "retrain": partial(_trained, mode="retrain"),
    "finetune": partial(_trained, mode="finetune"),
    "export": _export,
    "supernet_report": _supernet_report,
}
