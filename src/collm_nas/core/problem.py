"""What is being solved: find the best architecture of a space within resource limits."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Protocol, TypeGuard, runtime_checkable

from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.spaces.base import SearchSpace, ranges

Metrics = Mapping[str, float]


class CostModel(Protocol):
    """Predicts or measures what an architecture costs on some hardware, without its accuracy."""

    def costs(self, arch: Architecture) -> Metrics:
        """Return e.g. `{"macs": 153272970, "params": 1073466}`: multiply-adds, parameters."""


class Evaluator(Protocol):
    """Measures how good an architecture is. Must be safe to call from several threads.

    `objective` names the metric to maximise; its name says the split, e.g. `val_accuracy`.
    `protocol` names how the numbers come about: numbers of two protocols are not comparable.
    """

    objective: str
    protocol: str

    def evaluate(self, arch: Architecture) -> Metrics:
        """Return at least the objective, e.g. `{"val_accuracy": 91.6}` (percent).

        Raises:
            EvaluationFailed: this architecture could not be evaluated; others may.
        """


def measurement(protocol: str) -> str:
    """Return what tells two protocols apart: of one that ends in a hash, a name only describes."""
    found = re.search(r":([0-9a-f]{16})$", protocol)
    return found[1] if found else protocol


@runtime_checkable
class CountsImages(Protocol):
    """An evaluator whose accuracies are shares of images, and so have an interval.

    `images` is their number; `description` says in words what is really done.
    """

    images: int
    description: str


@runtime_checkable
class Cautious(Protocol):
    """An evaluator whose numbers need words beside them: sentences that every output carries."""

    cautions: Sequence[str]


class EvaluationFailed(RuntimeError):
    """An architecture could not be evaluated; the search records that and goes on."""


@dataclass(frozen=True)
class Limit:
    """A band that a cost must lie in, both ends included."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def violation(self, value: float) -> str:
        """Say by how much `value` misses the band; empty if it does not."""
        if self.maximum is not None and value > self.maximum:
            bound, word = self.maximum, "over the maximum"
        elif self.minimum is not None and value < self.minimum:
            bound, word = self.minimum, "under the minimum"
        else:
            return ""
        miss = abs(value - bound)
        percent = f" ({100 * miss / bound:.1f}%)" if bound else ""
        overrun = f"{amount(miss)}{percent}"
        return f"{self.metric} is {amount(value)}, {word} of {amount(bound)} by {overrun}"

    def __str__(self) -> str:
        ends = [("at least", self.minimum), ("at most", self.maximum)]
        return f"{self.metric} " + " and ".join(
            f"{w} {amount(v)}" for w, v in ends if v is not None
        )


@dataclass(frozen=True)
class Problem:
    """Maximise `objective` over `space`, subject to `limits` on what `hardware` charges.

    A `reference` point makes it a search for a trade-off: its costs are to be minimised as well.
    It has the objective, too, and says of each number the worst that is of any use.

    Raises:
        ValueError: a limit or the reference names what is no cost.
    """

    space: SearchSpace
    hardware: CostModel
    limits: tuple[Limit, ...] = ()
    objective: str = "val_accuracy"
    reference: Metrics = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [f"limits.{limit.metric}" for limit in self.limits]
        named += [f"pareto.{metric}" for metric in self.minimised]
        if problems := [p for key in named for p in unknown_cost(key, self._example[1])]:
            raise ValueError("\n".join(problems))

    @property
    def minimised(self) -> tuple[str, ...]:
        """Name the costs that are traded for the objective; empty: it alone counts."""
        return tuple(metric for metric in self.reference if metric != self.objective)

    def violations(self, costs: Metrics) -> str:
        """Say which limits `costs` misses, and by how much; empty if none."""
        misses = (limit.violation(costs[limit.metric]) for limit in self.limits)
        return "; ".join(miss for miss in misses if miss)

    def is_feasible(self, arch: Architecture) -> bool:
        """Tell whether `arch` meets the limits; what is measured is asked for last."""
        if not self.limits:
            return True
        own = self.space.costs(arch)
        free = (limit for limit in self.limits if limit.metric in self._closed_form)
        if any(limit.violation(own[limit.metric]) for limit in free):
            return False
        return not self.violations(self.hardware.costs(arch))

    def sample(self, rng: random.Random) -> Architecture:
        """Draw uniformly from the architectures that meet the limits.

        Raises:
            ValueError: no architecture does.
            NothingFeasible: none was found.
        """
        bounds = [
            (limit.metric, limit.minimum, limit.maximum)
            for limit in self.limits
            if limit.metric in self._closed_form
        ]
        return self.first_feasible(lambda rng: self.space.sample_within(rng, bounds), rng)

    @cached_property
    def _example(self) -> tuple[Architecture, Metrics]:
        """Any architecture and its costs; one, since costs may have to be measured."""
        arch = self.space.sample(random.Random(0))
        return arch, self.hardware.costs(arch)

    @cached_property
    def _closed_form(self) -> frozenset[str]:
        """The limited costs that the space itself computes, and may be able to sample exactly."""
        arch, charged = self._example
        own = self.space.costs(arch)
        limited = {limit.metric for limit in self.limits}
        return frozenset(m for m in limited if own.get(m) == charged[m])

    def first_feasible(
        self,
        draw: Callable[[random.Random], Architecture],
        rng: random.Random,
        attempts: int = 10_000,
    ) -> Architecture:
        """Draw until an architecture meets the limits.

        Raises:
            NothingFeasible: none did in `attempts` draws.
        """
        seen: list[Metrics] = []
        for _ in range(attempts):
            if self.is_feasible(arch := draw(rng)):
                return arch
            seen.append(self.hardware.costs(arch))
        bounds = [(limit.metric, limit.minimum, limit.maximum) for limit in self.limits]
        raise NothingFeasible(
            f"no architecture within the limits in {attempts:,} draws: "
            f"{'; '.join(map(str, self.limits))}. Seen in these draws (not exact) were "
            f"{ranges(seen, bounds)}. Widen the limits (config key: limits)."
        )


def parse_limits(limits: Mapping[str, object], metrics: Metrics) -> tuple[Limit, ...]:
    """Read `{metric: maximum}` or `{metric: [minimum, maximum]}`; `null` is no limit.

    `metrics` are the costs of any architecture: what can be limited.

    Raises:
        ValueError: all the problems at once.
    """
    parsed, problems = [], []
    for metric, bounds in limits.items():
        if bounds is None:
            continue
        if unknown := unknown_cost(f"limits.{metric}", metrics):
            problems += unknown
            continue
        ends = bounds if isinstance(bounds, list) and len(bounds) == 2 else [None, bounds]
        numbers = [float(end) for end in ends if _is_number(end)]
        if len(numbers) + ends.count(None) < len(ends):
            problems.append(f"limits.{metric}: expected a maximum or [min, max], got {bounds!r}")
            continue
        low, high = (numbers.pop(0) if end is not None else None for end in ends)
        if low is not None and high is not None and low > high:
            problems.append(f"limits.{metric}: the minimum {low} is over the maximum {high}")
        else:
            parsed.append(Limit(metric, low, high))
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(parsed)


def unknown_cost(key: str, costs: Metrics) -> list[str]:
    """Say that `limits.NAME` or `pareto.NAME` names none of `costs`; empty if it does."""
    place, _, name = key.partition(".")
    if name in costs:
        return []
    near = [f"did you mean {n}? " for n in difflib.get_close_matches(name, costs, n=1)]
    return [f"{place}.{name}: not a cost; {''.join(near)}there are {', '.join(sorted(costs))}"]


def costs_of(metrics: Metrics, objective: str) -> dict[str, float]:
    """Return the costs among the metrics of a record: not what was measured on its split."""
    split = objective.removesuffix("accuracy")
    return {name: value for name, value in metrics.items() if not name.startswith(split)}


def parse_reference(
    reference: Mapping[str, object] | None, metrics: Metrics, objective: str
) -> dict[str, float]:
    """Read the reference point of a search for a trade-off, e.g. `{"latency_ms": 30}`.

    The objective comes first; its reference is 0 percent if it is not given. `None` is no point.

    Raises:
        ValueError: all the problems at once.
    """
    if reference is None:
        return {}
    problems = []
    for metric, worst in reference.items():
        if metric != objective and metric not in metrics:
            known = ", ".join(sorted(metrics))
            problems.append(f"pareto.{metric}: neither {objective} nor a cost; there are {known}")
        elif not _is_number(worst) or not isfinite(worst) or (metric != objective and worst <= 0):
            problems.append(f"pareto.{metric}: expected the worst useful value, got {worst!r}")
        elif metric == objective and not 0 <= worst < 100:
            problems.append(f"pareto.{metric}: expected percent from 0 to below 100, got {worst!r}")
    if not {*reference} - {objective}:
        problems.append(f"pareto names no cost to minimise; there are {', '.join(sorted(metrics))}")
    if problems:
        raise ValueError("\n".join(problems))
    numbers = {metric: float(worst) for metric, worst in reference.items() if _is_number(worst)}
    return {objective: numbers.pop(objective, 0.0), **numbers}


def amount(value: float) -> str:
    """Write a cost for people: large counts in millions."""
    return f"{value / 1e6:,.6g}M" if abs(value) >= 1e5 else f"{value:,.6g}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
