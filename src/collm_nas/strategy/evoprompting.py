"""EvoPrompting (Chen, Dohan & So, 2023, https://arxiv.org/abs/2302.14838), on architectures.

A language model is the variation operator of an evolution: shown some of the best architectures
from worse to better, it writes the next ones. Parents are drawn anew in every round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Le

from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MANY, Count, MaybeInfinite, Seed
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.llm.base import ChatModel
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.settings import Prompting
from collm_nas.strategy.prompted import PAPER, Candidates, Prompted


@checked
class EvoPrompting(Prompted):
    """Let one LLM vary the best architectures so far.

    Args:
        population: the best so many architectures may become parents.
        parents: how many of them a prompt shows.
        The others: as for `Prompted`. The first round is a random sample of `population` size.
    """

    system, user = "generator_system", "evoprompting_user"

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        llm: ChatModel,
        candidates: Candidates,
        population: Annotated[int, Ge(2), Le(MANY)],
        parents: Count,
        prompting: Prompting = PAPER,
        target: MaybeInfinite = math.inf,
    ) -> None:
        super().__init__(problem, seed, llm, candidates, prompting, target)
        self.population = population
        self.parents = parents

    def propose(self, archive: Archive) -> Batch:
        """Sample until there are enough parents; then ask the model."""
        if len(texts.elite(archive, self.population)) < self.parents:
            rng = round_rng(self.seed, archive)
            return Batch.of(*(self.problem.sample(rng) for _ in range(self.population)))
        return super().propose(archive)

    def values(self, archive: Archive, dialect: Dialect) -> Mapping[str, object]:
        """Tell the parents of the round, from worse to better."""
        elite = texts.elite(archive, self.population)
        parents = round_rng(self.seed, archive).sample(elite, self.parents)
        ranked = sorted(parents, key=archive.score)
        return {"parents": [texts.evaluated(r, dialect, archive.objective) for r in ranked]}
