"""Which subnets a training step updates: functions of the seed and the step, equal on all ranks.

A step's losses are summed over its subnets.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, CountOrZero, NotNegative, Text
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.choices import Choices, draw_uniform, wrong_choices
from collm_nas.training.reference_subnets import largest, smallest


class SamplingRule(Protocol):
    """Draws the subnets of a step."""

    @property
    def choices(self) -> Choices:
        """Return the options that it draws from; variables that are not named keep all theirs."""

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        """Return the subnets of a step; each draw is keyed by seed, step and its number."""

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        """Say why this rule cannot draw from `space`; `key` is its place in the config."""


@checked
@dataclass(frozen=True)
class Uniform:
    """Every gene of every subnet drawn independently and uniformly.

    Args:
        subnets: how many a step updates.
        choices: the options to draw from, e.g. `{e: [6], d: [4]}` of the kernel phase of
            once-for-all; variables that are not named keep all of theirs.
    """

    subnets: Count = 1
    choices: Choices = field(default_factory=dict)

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        return tuple(
            draw_uniform(space, self.choices, _keyed(seed, step, i)) for i in range(self.subnets)
        )

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        return wrong_choices(space, self.choices, f"{key}.choices")


@checked
@dataclass(frozen=True)
class CostBins:
    """One subnet a step: a bin of costs uniformly, then uniformly from the subnets in it.

    As SPOS trains (https://github.com/megvii-model/SinglePathOneShot), where 500 rejected draws
    end in an unconstrained one. Here the draw is exact where the space can sample within limits
    exactly.

    Args:
        minimum: where the first bin begins.
        maximum: where the last one ends; it does not belong to it.
        bins: how many, of equal width.
        metric: which cost.
    """

    minimum: NotNegative
    maximum: NotNegative
    bins: Count
    metric: Text = "macs"

    choices: Choices = field(default_factory=dict, init=False)

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        rng = _keyed(seed, step, 0)
        return (self._in_bin(space, rng.randrange(self.bins), rng),)

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        if not self.minimum < self.maximum:
            return [
                f"{key} needs a minimum below its maximum, got {self.minimum:,} and "
                f"{self.maximum:,}"
            ]
        known = space.costs(space.sample(random.Random(0)))
        if self.metric not in known:
            return [f"{key}.metric must be one of {', '.join(known)}, got {self.metric!r}"]
        found = []
        for number in range(self.bins):
            try:
                self._in_bin(space, number, random.Random(0))
            except NothingFeasible as error:
                found.append(f"{key}: bin {number} of {self.bins} is empty: {error}")
        return found

    def _in_bin(self, space: SearchSpace, number: int, rng: random.Random) -> Architecture:
        width = (self.maximum - self.minimum) / self.bins
        low = self.minimum + number * width
        below = math.nextafter(low + width, -math.inf)
        return space.sample_within(rng, [(self.metric, low, below)])


@dataclass(frozen=True)
class StrictFairness:
    """Every option of every block exactly once a step, in subnets of random combinations.

    FairNAS (Chu et al., 2021, https://arxiv.org/abs/1907.01845): one permutation of the options
    for each block; the subnets are as many as a block has options.
    """

    choices: Choices = field(default_factory=dict, init=False)

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        rng = _keyed(seed, step, 0)
        permutations = {
            v.name: [rng.sample(v.options, len(v.options)) for _ in range(v.count)]
            for v in space.variables
        }
        subnets = len(space.variables[0].options)
        return tuple(
            space.build({name: [p[i] for p in rows] for name, rows in permutations.items()})
            for i in range(subnets)
        )

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        counts = {len(v.options) for v in space.variables}
        encodings = math.prod(len(v.options) ** v.count for v in space.variables)
        if len(counts) == 1 and space.size() == encodings:
            return []
        return [
            f"{key}: strict fairness needs independent blocks with equally many options; in "
            f"{space.name} some genes depend on others or have other numbers of options. Use "
            "collm_nas.training.sampling.Sandwich or Uniform"
        ]


@checked
@dataclass(frozen=True)
class Sandwich:
    """The largest subnet, the smallest one, and some drawn uniformly between them.

    Slimmable networks and BigNAS (Yu et al., 2020, https://arxiv.org/abs/2003.11142). The largest
    comes first: with `teacher: largest` in the phase, it alone learns from the labels and the
    others learn from it.
    """

    random: CountOrZero = 2
    choices: Choices = field(default_factory=dict)

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        drawn = [
            draw_uniform(space, self.choices, _keyed(seed, step, i)) for i in range(self.random)
        ]
        return (largest(space, self.choices), smallest(space, self.choices), *drawn)

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        return wrong_choices(space, self.choices, f"{key}.choices")


@dataclass(frozen=True)
class Fixed:
    """One and the same architecture: a subnet is retrained or fine-tuned."""

    arch: Architecture

    choices: Choices = field(default_factory=dict, init=False)

    def draw(self, space: SearchSpace, seed: int, step: int) -> tuple[Architecture, ...]:
        return (self.arch,)

    def problems(self, space: SearchSpace, key: str) -> list[str]:
        return []


def draw_size(sizes: Sequence[int], seed: int, step: int) -> int:
    """Draw the side of a step's images, in pixels; one size for the whole batch."""
    return random.Random(f"{seed}/size/{step}").choice(sizes)


def _keyed(seed: int, step: int, index: int) -> random.Random:
    return random.Random(f"{seed}/subnet/{step}/{index}")
