"""The settings of each command, and their check before anything is spent.

What a node's settings may be, its constructor says (`collm_nas.core.arguments`). The others, at
the root of a config, are declared here. All problems are told in one message, each with the key
that sets it, wherever the value is used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len, MinLen
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from typing_extensions import TypedDict

from collm_nas.config.run import UserError
from collm_nas.core.arguments import (
    MISSING,
    Given,
    Node,
    Path,
    Problem,
    key_of,
    problems,
    unknown,
)
from collm_nas.core.ranges import Count, NotNegative, Seed, Text, Workers
from collm_nas.core.search import Budget, ConstraintMode
from collm_nas.llm.ledger import Caps
from collm_nas.training.pace import Pace

TrainOn = Literal["train_fit", "train"] | None
Range = Annotated[list[NotNegative | None], Len(2, 2)]
Loggers = Annotated[dict[str, Node | None], Given(["run"])]
# an interpolation of another key, with or without a default
REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([^{}:,]+)(?:,[^{}]*)?\}")


class Choices(TypedDict, total=False):
    """The names of the options that were chosen."""

    searchspace: Text
    strategy: Text
    llm: Text
    recipe: Text


@dataclass(frozen=True)
class RunCaps(Caps):
    """The caps of a run: those of its calls, and the time of one visit.

    Args:
        wall_seconds: of one visit.
    """

    wall_seconds: NotNegative | None = None


@dataclass(frozen=True)
class Validation:
    """The images of a training's fixed subnets.

    Args:
        images: of search_val; `None`: all.
        bn_images: to calibrate batch norms with.
        bn_view: `training`: these are seen as in training; `None`: their centres.
    """

    images: Count | None
    bn_images: Count
    bn_view: Literal["training"] | None


@dataclass(frozen=True)
class TrustReport:
    """What a supernet report measures.

    Args:
        subnets: from the cheapest to the most expensive.
        calibration_images: numbers of images to try.
    """

    subnets: Annotated[int, Ge(3), Le(10_000)]
    calibration_images: Annotated[list[Count], MinLen(1)]


@dataclass(frozen=True)
class SearchSettings:
    """What search.py reads."""

    searchspace: Node
    hardware: Annotated[Node, Given(["space"])]
    evaluator: Annotated[Node, Given(["space"])]
    strategy: Annotated[Node, Given(["problem"])]
    logger: Loggers
    limits: dict[str, NotNegative | Range | None]
    pareto: dict[str, float] | None
    constraint_mode: ConstraintMode
    budget: Budget
    caps: RunCaps
    workers: Workers
    seed: Seed
    supernet: Text
    choices: Choices
    run_dir: Text | None
    continue_with: Text | dict[str, Any] | None
    report: Literal["full", "line"]
    replay: Text | None
    estimate: bool


@dataclass(frozen=True)
class TrainingSettings:
    """What a training reads, by train_supernet.py or of one network."""

    searchspace: Node
    data: Node
    recipe: Node
    trainer: Node
    logger: Loggers
    choices: Choices
    pace: Pace
    train_on: TrainOn
    seed: Seed
    data_workers: Annotated[int, Ge(0), Le(1024)]


@dataclass(frozen=True)
class SupernetSettings(TrainingSettings):
    """What train_supernet.py reads."""

    validation: Validation
    keep: Literal["best", "last"]
    supernet: Text
    run_dir: Text | None


@dataclass(frozen=True)
class EvaluationSettings:
    """What evaluate.py reads in every mode."""

    run: Text | None
    rank: Count
    arch: Any
    mode: Literal["table", "inherit", "retrain", "finetune", "export", "supernet_report"] | None
    table: Text | None
    seeds: Annotated[list[Seed], MinLen(1)]
    controls: bool
    distill: bool
    train_on: TrainOn
    pace: Pace
    data_workers: Annotated[int, Ge(0), Le(1024)]
    weights: Literal["inherited", "retrain", "finetune"] | None
    out: Text | None
    workers: Workers
    report: TrustReport
    stand_alone: Annotated[Literal["train"] | Node | None, Given(["space"])]
    seed: Seed
    supernet: Text


@dataclass(frozen=True)
class InheritedSettings:
    """What evaluate.py reads of weights and images."""

    searchspace: Node
    evaluator: Annotated[Node, Given(["space"])]


@dataclass(frozen=True)
class ComparisonSettings:
    """What compare.py reads."""

    runs: Annotated[list[Text], MinLen(1)]
    evaluations: Count | None
    table: Text | None
    picture: Text


def of_evaluation(mode: str, trains: bool) -> tuple[type, ...]:
    """Return what evaluate.py reads besides `EvaluationSettings`.

    Args:
        trains: whether a supernet report trains its subnets.
    """
    inherits = (InheritedSettings,) if mode != "table" else ()
    return (*inherits, TrainingSettings) if trains or mode in ("retrain", "finetune") else inherits


ALL = (SearchSettings, SupernetSettings, EvaluationSettings, InheritedSettings, ComparisonSettings)


def check(cfg: DictConfig, *schemas: type, source: str = "") -> None:
    """Hold what a command reads of `cfg` against its `schemas`.

    Args:
        source: the file that settings come from, if they do not come from the command line alone.

    Raises:
        UserError: all the problems at once, each with the key that sets the value.
    """
    raw = OmegaConf.to_container(cfg, resolve=False)
    told: dict[str, str] = {}
    for problem in _problems(cfg, raw, schemas):
        absent = problem.message.startswith("is no setting")  # so wherever its value comes from
        key = key_of(problem.path if absent else _origin(raw, problem.path))
        told.setdefault(key, problem.told(key))
    if told:
        head = [f"With the settings of {source}:"] if source else []
        raise UserError("\n".join([*head, *told.values()]))


def _problems(cfg: DictConfig, raw: Any, schemas: Sequence[type]) -> list[Problem]:
    names = {field.name for schema in schemas for field in fields(schema)}
    unresolved: list[Problem] = []
    values = {name: _resolved(cfg, name, (name,), unresolved) for name in names if name in cfg}
    found = [*unresolved]
    values["strategy"], roles, wrong = _as_called(values.get("strategy"))
    found += wrong
    for schema in schemas:
        given = {f.name: values[f.name] for f in fields(schema) if f.name in cfg}
        found += problems(schema, given, root=True)
    for i, (path, message) in enumerate(found):
        if path[0] == "strategy" and path[1:2] and path[1] in roles:
            found[i] = Problem(("strategy", "models", *path[1:]), message)
    known = {field.name for schema in ALL for field in fields(schema)}
    known |= {"llm", "prompting"}
    read = {reference.split(".")[0] for reference in REFERENCE.findall(str(raw))}
    return found + [unknown(key, known) for key in raw if key not in known | read]


def _as_called(strategy: Any) -> tuple[Any, Collection[str], list[Problem]]:
    """Return a strategy's settings with its models as the arguments that they are, and which."""
    if not isinstance(strategy, dict) or "models" not in strategy:
        return strategy, (), []
    others = dict(strategy)
    models = {} if others["models"] is None else others["models"]
    del others["models"]
    if isinstance(models, dict) and "_target_" not in models:
        return {**others, **models}, models, []
    got = f"must name a model for each role, got {models!r}"
    return others, (), [Problem(("strategy", "models"), got)]


def _resolved(node: Any, key: Any, path: Path, unresolved: list[Problem]) -> Any:
    """Return `node[key]` as plain values; what cannot be resolved counts as missing."""
    try:
        value = node[key]
    except MissingMandatoryValue:
        return MISSING
    except OmegaConfBaseException as error:
        unresolved.append(Problem(path, f"cannot be resolved: {str(error).splitlines()[0]}"))
        return MISSING
    if isinstance(value, DictConfig):
        return {str(k): _resolved(value, k, (*path, str(k)), unresolved) for k in value}
    if isinstance(value, ListConfig):
        return [_resolved(value, i, (*path, i), unresolved) for i in range(len(value))]
    return value


def _origin(raw: Any, path: Path) -> Path:
    """Return the path that sets the value at `path`: where interpolations lead to."""
    node = raw
    for i, step in enumerate(path):
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return path
        if isinstance(node, str) and (reference := REFERENCE.fullmatch(node)):
            return _origin(raw, (*reference[1].split("."), *path[i + 1 :]))
    return path
