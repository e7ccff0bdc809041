"""What makes two searches the same one: the settings that an archive is bound to."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any

from collm_nas.core.problem import Evaluator, Problem, measurement
from collm_nas.core.strategy import SearchStrategy


def identity(
    problem: Problem, strategy: SearchStrategy, evaluator: Evaluator, constraint_mode: str
) -> dict[str, Any]:
    """Return what the results of a search depend on, as JSON values by dotted names.

    Of space and strategy it is what their constructors took and they keep under the same name, as
    far as it is plain: a number, a text, or a list, mapping or frozen dataclass of some. Language
    models are no part of it: another one may continue a search. Nor is what stands in `resources`.
    """
    space = problem.space
    return {
        "space": space.identity,
        "space.variables": [[v.name, v.count, list(v.options)] for v in space.variables],
        **dict(_settings("space", space)),
        "objective": problem.objective,
        "limits": [[x.metric, x.minimum, x.maximum] for x in problem.limits],
        "reference": dict(problem.reference),
        "hardware": type(problem.hardware).__name__,
        "evaluator": measurement(evaluator.protocol),
        "constraint_mode": constraint_mode,
        "strategy": type(strategy).__name__,
        **dict(_settings("strategy", strategy)),
    }


def _settings(key: str, made: object) -> Iterator[tuple[str, Any]]:
    for name in inspect.signature(type(made)).parameters:
        if name != "resources" and hasattr(made, name):
            yield from _plain(f"{key}.{name}", getattr(made, name))


def _plain(key: str, value: object) -> Iterator[tuple[str, Any]]:
    """Yield `value` by its name, or a dataclass's fields by theirs; nothing if it is not plain."""
    if is_dataclass(value) and not isinstance(value, type | Problem):
        if value.__dataclass_params__.frozen and not hasattr(value, "complete"):  # type: ignore[attr-defined]
            for field in fields(value):
                yield from _plain(f"{key}.{field.name}", getattr(value, field.name))
        return
    try:
        yield key, _json(value)
    except TypeError:
        return


def _json(value: object) -> Any:
    """Return `value` as JSON reads it back.

    Raises:
        TypeError: it is not plain.
    """
    match value:
        case None | bool() | str():
            return value
        case Integral():
            return int(value)
        case Real():
            return float(value) if isfinite(value) else str(float(value))
        case list() | tuple():
            return [_json(item) for item in value]
        case Mapping():
            return {str(name): _json(item) for name, item in value.items()}
    raise TypeError(type(value))
