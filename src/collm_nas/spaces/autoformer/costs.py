"""Exact costs of AutoFormer's networks, and exact sampling within limits on them.

Whatever a network costs depends on four numbers only: its depth, its width, and the sums of its
heads and of its MLP ratios. These have some thousand combinations, each with a known probability.
A draw first chooses among those within the limits, then lists with these sums: no draw is in vain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, product
from typing import NamedTuple

from collm_nas.spaces.additive import AdditiveCost
from collm_nas.spaces.base import Bounds, Costs, lies_within

HEAD_DIM = 64
MAX_DISTANCE = 14  # in patches; pairs that are farther apart share one relative position
TABLE_ROWS = 2 * MAX_DISTANCE + 2  # one for each distance, and row 0 for the class token
STEP = 0.5  # MLP ratios are multiples of it


class Totals(NamedTuple):
    """What the costs of a network depend on."""

    depth: int
    embed_dim: int
    heads: int  # of all layers together
    mlp_ratio: float  # of all layers together


def costs_of(totals: Totals, side: int, patch_size: int, num_classes: int) -> Costs:
    """Return `macs`, `params` and `repo_flops`, see `AutoFormer.costs`."""
    depth, embed = totals.depth, totals.embed_dim
    attention, hidden = HEAD_DIM * totals.heads, int(embed * totals.mlp_ratio)
    patches = (side // patch_size) ** 2
    tokens = patches + 1
    pixels = 3 * patch_size**2
    macs = (
        (patches * pixels + num_classes) * embed
        + 4 * tokens * (embed + tokens) * attention
        + 2 * tokens * embed * hidden
    )
    params = (
        (pixels + 1 + tokens + 1 + 2 + num_classes) * embed
        + num_classes
        + (6 * embed + 4 * TABLE_ROWS * HEAD_DIM) * depth
        + (4 * embed + 3) * attention
        + (2 * embed + 1) * hidden
    )
    n = tokens + 1
    repo_flops = (
        (1 + patches * pixels + tokens / 2 + tokens * num_classes) * embed
        + (2 * embed + (2 * MAX_DISTANCE + 0.5) * n) * n * depth
        + (4 * embed + 2 * n + 0.5) * n * attention
        + 2 * n * embed * hidden
    )
    return {"macs": macs, "params": params, "repo_flops": repo_flops}


@dataclass(frozen=True)
class Combinations:
    """Some combinations of totals, and the weights with which they are drawn."""

    totals: list[Totals]
    cumulative_weights: list[float]


class ExactSampler:
    """Draws genes as `SearchSpace.sample` does, given that the costs lie within limits.

    Args:
        options: those of depth, embed_dim, mlp_ratio and num_heads, in this order.
        costs: the costs of a network, from its totals.
    """

    def __init__(
        self, options: Sequence[Sequence[float]], costs: Callable[[Totals], Costs]
    ) -> None:
        depths, widths, ratios, heads = options
        self.depths, self.widths = [int(d) for d in depths], [int(w) for w in widths]
        self.ratios, self.heads = tuple(ratios), tuple(int(h) for h in heads)
        self.costs = costs
        # A search asks for the same limits again and again; the pair is replaced as one.
        self._latest: tuple[tuple[Bounds, ...], Combinations] | None = None

    def within(self, limits: tuple[Bounds, ...]) -> Combinations:
        """Return the combinations whose costs lie within `limits`."""
        latest = self._latest
        if latest is None or latest[0] != limits:
            chosen = [(t, w) for t, w, costs in self._all if lies_within(costs, limits)]
            weights = accumulate(weight for _, weight in chosen)
            latest = (limits, Combinations([t for t, _ in chosen], list(weights)))
            self._latest = latest
        return latest[1]

    def draw(self, rng: random.Random, combinations: Combinations) -> dict[str, list[float]]:
        """Draw from what `within` returned, which must not be empty."""
        weights = combinations.cumulative_weights
        (totals,) = rng.choices(combinations.totals, cum_weights=weights)
        ratios, heads = self._lists[totals.depth]
        units = totals.mlp_ratio / STEP
        return {
            "depth": [totals.depth],
            "embed_dim": [totals.embed_dim],
            "mlp_ratio": [self.ratios[i] for i in ratios.draw(rng, units, units)],
            "num_heads": [self.heads[i] for i in heads.draw(rng, totals.heads, totals.heads)],
        }

    @cached_property
    def _lists(self) -> dict[int, tuple[AdditiveCost, AdditiveCost]]:
        """For every depth, the sums of its list of ratios, in steps, and of its list of heads."""
        units = tuple(int(ratio / STEP) for ratio in self.ratios)
        return {
            depth: (AdditiveCost(0, (units,) * depth), AdditiveCost(0, (self.heads,) * depth))
            for depth in self.depths
        }

    @cached_property
    def _all(self) -> list[tuple[Totals, float, Costs]]:
        entries = []
        for depth, (ratios, heads) in self._lists.items():
            for (units, share), (head_sum, head_share) in product(_shares(ratios), _shares(heads)):
                for width in self.widths:
                    totals = Totals(depth, width, head_sum, units * STEP)
                    entries.append((totals, share * head_share, self.costs(totals)))
        return entries


def _shares(sums: AdditiveCost) -> Iterator[tuple[int, float]]:
    """Yield every sum with the share of all lists that have it."""
    lists = sums.count(None, None)
    for total in range(sums.smallest, sums.largest + 1):
        if count := sums.count(total, total):
            yield total, count / lists
