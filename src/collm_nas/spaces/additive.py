"""Costs that are a constant plus one term per decision, and exact sampling under a limit on them.

Rejection needs a thousand draws for one network when a limit leaves a thousandth of the space.
Counting, by dynamic programming, how many ways there are to complete a prefix makes every draw
succeed, uniformly over what the limit leaves.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True)
class Tails:
    """How many completions of a prefix have which cost."""

    sums: list[int]  # ascending
    counts: list[int]  # counts[i]: completions cheaper than sums[i]; the last entry is all of them

    def within(self, minimum: float, maximum: float) -> int:
        """Count the completions whose cost lies in the band."""
        after = self.counts[bisect_right(self.sums, maximum)]
        return max(0, after - self.counts[bisect_left(self.sums, minimum)])


@dataclass(frozen=True)
class AdditiveCost:
    """`base` plus `table[i][c]` for the choice `c` of each decision `i`."""

    base: int
    table: tuple[tuple[int, ...], ...]

    def total(self, choices: Iterable[int]) -> int:
        """Return the cost of one choice per decision."""
        return self.base + sum([row[c] for row, c in zip(self.table, choices, strict=True)])

    @property
    def smallest(self) -> int:
        """Return the least that anything costs."""
        return self.base + sum(map(min, self.table))

    @property
    def largest(self) -> int:
        """Return the most that anything costs."""
        return self.base + sum(map(max, self.table))

    def count(self, minimum: float | None, maximum: float | None) -> int:
        """Count the combinations of choices whose cost lies in the band; `None` is an open end."""
        low, high = self._band(minimum, maximum)
        return self._tails[0].within(low, high)

    def draw(self, rng: random.Random, minimum: float | None, maximum: float | None) -> list[int]:
        """Draw uniformly from the combinations that `count` counts, of which there must be some.

        The first call counts; later ones take a few dozen microseconds.
        """
        low, high = self._band(minimum, maximum)
        rank = rng.randrange(self._tails[0].within(low, high))
        choices = []
        for row, tails in zip(self.table, self._tails[1:], strict=True):
            for choice, cost in enumerate(row):
                completions = tails.within(low - cost, high - cost)
                if rank < completions:
                    choices.append(choice)
                    low, high = low - cost, high - cost
                    break
                rank -= completions
        return choices

    def _band(self, minimum: float | None, maximum: float | None) -> tuple[float, float]:
        low = -math.inf if minimum is None else minimum - self.base
        return low, math.inf if maximum is None else maximum - self.base

    @cached_property
    def _tails(self) -> list[Tails]:
        """Entry `i` is about the decisions from `i` on."""
        ways = {0: 1}
        tails = [_tails(ways)]
        for row in reversed(self.table):
            longer: Counter[int] = Counter()
            for cost in row:
                for total, count in ways.items():
                    longer[total + cost] += count
            ways = longer
            tails.append(_tails(ways))
        return tails[::-1]


def _tails(ways: dict[int, int]) -> Tails:
    sums = sorted(ways)
    return Tails(sums, list(accumulate((ways[total] for total in sums), initial=0)))
