"""How language models are prompted: the config group `prompting`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collm_nas.core.ranges import CountOrZero, Seed
from collm_nas.prompting.dialect import Dialect, Names, dialect_of
from collm_nas.spaces.base import SearchSpace


@dataclass(frozen=True)
class Prompting:
    """How a strategy prompts its models; the defaults are the paper's.

    Args:
        prompts: the set of templates, `paper` or `brief` (for small models).
        names: what a model is told: the `official` names of a space, `short` codes where it has
            some (NAS-Bench-201), or `opaque` letters, which hide what it may know by heart.
        order_seed: permutes the order in which it is told options, and draws the letters; None:
            the space's own order.
        one_by_one: ask for one architecture per call, held by a grammar to what is new.
        memory: what a model is told of results is all rounds, not the last one alone.
        examples: how many of the best architectures so far the prompt for new ones shows.
    """

    prompts: Literal["paper", "brief"] = "paper"
    names: Names = "official"
    order_seed: Seed | None = None
    one_by_one: bool = False
    memory: bool = True
    examples: CountOrZero = 0

    def dialect(self, space: SearchSpace) -> Dialect:
        """Return the words in which `space` is told."""
        return dialect_of(space, self.names, self.order_seed)
