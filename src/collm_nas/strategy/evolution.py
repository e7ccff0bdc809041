"""The elitist evolution that supernet papers search with, under a strict budget.

CoLLM-NAS compares with population 10 and 50% elites; SPOS (Guo et al., 2020,
https://arxiv.org/abs/1904.00420) and AutoFormer (Chen et al., 2021,
https://arxiv.org/abs/2107.00651) use 50, of which the best 10 are parents of 25 mutants and 25
crossovers; OFA 100, with 25 parents. The elites are the best of all seen in each of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from collm_nas.architecture import Architecture
from collm_nas.archive import Archive
from collm_nas.problem import Problem
from collm_nas.strategy.base import Batch, known, new_sample, round_rng

ATTEMPTS = 10  # per child, as in SPOS and AutoFormer; what is still missing then is drawn anew


class Evolution:
    """Each generation: mutants and crossovers of the best architectures so far.

    Args:
        population: random architectures of the first generation.
        parents: how many of the best so far have children.
        mutants: children by mutation per generation.
        crossovers: children by crossover per generation.
        mutation_rate: probability to redraw a gene, for all variables or for each.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int,
        population: int,
        parents: int,
        mutants: int,
        crossovers: int,
        mutation_rate: float | Mapping[str, float],
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.population = population
        self.parents = parents
        self.mutants = mutants
        self.crossovers = crossovers
        self.mutation_rate = mutation_rate

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng, avoid = round_rng(self.seed, archive), known(archive)
        ranked = sorted(archive.feasible(), key=archive.score, reverse=True)
        elite = [r.arch for r in ranked[: self.parents] if r.arch]
        young = len(archive.evaluated()) < self.population
        kinds = "r" * self.population if young else "m" * self.mutants + "c" * self.crossovers
        batch = []
        for kind in kinds:
            batch.append(self._child(kind, elite, rng, avoid))
            avoid.add(batch[-1])
        return Batch.of(*batch)

    def _child(
        self, kind: str, elite: list[Architecture], rng: random.Random, avoid: set[Architecture]
    ) -> Architecture:
        space = self.problem.space
        for _ in range(ATTEMPTS if elite and kind != "r" else 0):
            if kind == "m":
                child = space.mutate(rng.choice(elite), rng, self.mutation_rate)
            else:
                child = space.crossover(rng.choice(elite), rng.choice(elite), rng)
            if child not in avoid and self.problem.is_feasible(child):
                return child
        return new_sample(self.problem, rng, avoid)
