"""Which weights of an architecture there are, and which of them ship.

Inherited ones always; those that `retrain` and `finetune` left as well. All are measured now, under
one protocol, and compared by validation: choosing by test would spoil what test says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from collm_nas.cli.evaluate.subnet_evaluator import SubnetEvaluator, build_subnet_evaluator
from collm_nas.cli.evaluate.target import Target
from collm_nas.config.run import UserError
from collm_nas.core.printable import say
from collm_nas.evaluator.supernet import CannotEvaluate
from collm_nas.report.evaluations import FILE, read
from collm_nas.report.uncertainty import distinguishable, written
from collm_nas.spaces.stand_alone import OneNetwork

INHERITED, TRAINED = "inherited", ("retrain", "finetune")


@dataclass(frozen=True)
class Candidate:
    """Weights that could ship, with their validation accuracy in percent."""

    kind: str  # inherited, or the mode that trained them
    label: str
    evaluator: SubnetEvaluator
    accuracy: float


def choose(cfg: DictConfig, target: Target) -> Candidate:
    """Return the most accurate weights of the kind `cfg.weights` (None: of any), and say so.

    Raises:
        UserError: there are none of this kind.
    """
    found = candidates(cfg, target)
    mine = [c for c in found if cfg.weights in (None, c.kind)]
    if not mine:
        raise UserError(
            f"weights={cfg.weights}: {target.directory / FILE} tells of no such training of this "
            "architecture. It must be inherited, or retrain or finetune after that mode has run"
        )
    chosen = max(mine, key=lambda c: c.accuracy)
    _tell(found, chosen)
    return chosen


def candidates(cfg: DictConfig, target: Target) -> list[Candidate]:
    """Measure all weights that there are; files that are gone are named.

    A network that was trained on its own needs no supernet.

    Raises:
        CannotEvaluate: no weights are left, or no images are there.
    """
    evaluators = []
    one = OneNetwork(target.space, target.arch)
    for (kind, seed), path in _trainings(target).items():
        if Path(path).exists():
            evaluators.append(
                (kind, f"{kind}, seed {seed}", build_subnet_evaluator(cfg, one, path))
            )
        else:
            say(f"{kind}, seed {seed}: {path} is gone; it cannot ship")
    try:
        evaluators.insert(0, (INHERITED, INHERITED, build_subnet_evaluator(cfg, target.space)))
    except CannotEvaluate as error:
        if not evaluators or cfg.weights == INHERITED:
            raise
        say(f"inherited weights cannot ship: {error}")
    return [
        Candidate(
            kind,
            label,
            evaluator,
            evaluator.accuracy(target.arch, evaluator.validation)["val_accuracy"],
        )
        for kind, label, evaluator in evaluators
    ]


def _trainings(target: Target) -> dict[tuple[str, int], str]:
    """Return the files of weights that trainings of this architecture left, by mode and seed."""
    wire = json.loads(json.dumps(target.space.encode(target.arch)))
    return {
        (entry["mode"], seed): path
        for entry in read(target.directory / FILE)
        if entry.get("mode") in TRAINED and entry.get("architecture") == wire
        for seed, path in zip(entry.get("seeds", []), entry.get("weights", []), strict=False)
    }


def _tell(found: Sequence[Candidate], chosen: Candidate) -> None:
    split = chosen.evaluator.validation
    images = chosen.evaluator.counted(split)
    print(f"weights that there are, by accuracy on {split} ({images:,} images):")
    for candidate in found:
        mark = "  <- ships" if candidate is chosen else ""
        print(f"  {candidate.label:18} {written(candidate.accuracy, images)}%{mark}")
    best = max(found, key=lambda c: c.accuracy)
    if best.accuracy > chosen.accuracy:
        sure = distinguishable(best.accuracy, chosen.accuracy, images)
        but = "" if sure else f" ({images:,} images do not tell them apart)"
        print(f"CAUTION: {best.label} is more accurate{but}: weights={best.kind} ships that")
