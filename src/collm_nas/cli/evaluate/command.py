"""What `evaluate.py` does, by `mode`. Every mode tells what its numbers mean and keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from collm_nas.config.run import UserError, build
from collm_nas.core.problem import Evaluator
from collm_nas.report import sealed
from collm_nas.report.next_command import next_command, report_mode
from collm_nas.report.stored import read_run
from collm_nas.spaces.base import SearchSpace

OF_A_SEARCH = ("searchspace", "supernet", "data", "experiment", "evaluator")  # keys of both


def run(cfg: DictConfig) -> None:
    """Evaluate what `cfg` names.

    Raises:
        UserError: a setting is wrong, or something is missing; all that is wrong is told.
    """
    mode = mode_of(cfg)
    if mode not in MODES:
        raise UserError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    try:
        MODES[mode](cfg)
    except ValueError as error:
        raise UserError(str(error)) from error


def next_step(cfg: DictConfig, typed: Sequence[str]) -> str:
    """Say what to type after this evaluation, ready to be pasted.

    Args:
        typed: the overrides of this command, which the next one keeps where it knows them.
    """
    known = [o for o in typed if not o.lstrip("+").startswith(("mode=", "weights=", "seeds="))]
    match mode_of(cfg):
        case "table":
            return next_command("compare.py", runs=[Path(cfg.run).parent], table=cfg.table)
        case "export":
            from collm_nas.cli.evaluate.target import find_target

            target = find_target(cfg)
            package = type(target.space).__module__.partition(".")[0]
            trusted = "" if package == "collm_nas" else f", spaces=[{package!r}]"
            words = f"{str(target.directory / 'export')!r}{trusted}"
            return next_command("-c", f"import collm_nas; print(collm_nas.load_subnet({words}))")
        case "supernet_report":
            shared = tuple(f"{key}{end}" for key in OF_A_SEARCH for end in "=.")
            return next_command("search.py", *(o for o in typed if o.startswith(shared)))
        case _:
            return next_command("evaluate.py", *known, "mode=export")


def mode_of(cfg: DictConfig) -> str:
    """Return `cfg.mode`; without one, what reports on the run, else `inherit`."""
    if cfg.mode:
        return str(cfg.mode)
    if cfg.run is None or cfg.arch is not None:
        return "inherit"
    return report_mode(read_run(Path(cfg.run)).config) or "inherit"


def _table(cfg: DictConfig) -> None:
    if cfg.run is None:
        raise UserError("mode=table reads the test accuracy of what a run found: run=…")
    sealed.evaluate(read_run(Path(cfg.run)), cfg.rank, cfg.table)


def _inherit(cfg: DictConfig) -> None:
    from collm_nas.cli.evaluate.inherit import evaluate_inherited
    from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
    from collm_nas.cli.evaluate.target import find_target

    target = find_target(cfg)
    evaluate_inherited(target, build_subnet_evaluator(cfg, target.space), _seeds(cfg), cfg.controls)


def _export(cfg: DictConfig) -> None:
    from collm_nas.cli.evaluate.candidates import choose
    from collm_nas.cli.evaluate.shipping import export
    from collm_nas.cli.evaluate.target import find_target

    target = find_target(cfg)
    export(target, choose(cfg, target), cfg.searchspace)


def _trained(cfg: DictConfig, mode: str) -> None:
    from collm_nas.cli.evaluate.alone import evaluate_trained
    from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
    from collm_nas.cli.evaluate.target import find_target

    target = find_target(cfg)
    start = build_subnet_evaluator(cfg, target.space) if mode == "finetune" else None
    evaluate_trained(cfg, mode, target, _seeds(cfg), start)


def _supernet_report(cfg: DictConfig) -> None:
    from collm_nas.cli.evaluate.subnet_evaluator import build_subnet_evaluator
    from collm_nas.cli.evaluate.supernet_report import supernet_report

    space: SearchSpace = build(cfg.searchspace)
    evaluator = build_subnet_evaluator(cfg, space)
    directory = Path(cfg.out or Path("runs", "evaluate", space.identity))
    alone = _stand_alone(cfg, space, directory)
    images = [int(count) for count in cfg.report.calibration_images]
    supernet_report(evaluator, alone, cfg.report.subnets, images, cfg.seed, directory)


def _stand_alone(cfg: DictConfig, space: SearchSpace, directory: Path) -> Evaluator | None:
    """Return what knows subnets that were trained on their own, as the key `stand_alone` says."""
    match cfg.stand_alone:
        case None:
            return None
        case "train":
            from collm_nas.cli.evaluate.alone import TrainedAlone

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
