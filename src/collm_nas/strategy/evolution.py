"""Elitist evolution: the best of all seen are mutated and crossed.

It is the baseline "EA" of CoLLM-NAS (https://arxiv.org/abs/2509.26037) and, by its numbers alone,
the search of Single Path One-Shot (Guo et al., 2020, https://arxiv.org/abs/1904.00420),
Once-for-All (Cai et al., 2020, https://arxiv.org/abs/1908.09791) and AutoFormer (Chen et al.,
2021, https://arxiv.org/abs/2107.00651). Some of them let the elite live on in the population
instead: the best of such a population are the best of all seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Annotated

from annotated_types import Ge, Le

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MANY, CountOrZero, Seed, Share
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy.rejection_sampling import rejection_sample


@checked
class Evolution:
    """Breed each generation from the best architectures so far; a generation is a round.

    Args:
        population: uniform samples to begin with.
        parents: how many of the best breed.
        mutants: children per generation that are mutations of one parent.
        crossovers: children per generation that take each gene from either of two parents.
        mutation_rate: probability that a gene is redrawn: one for all, or one per variable, where
            `ks+e` is a rate for both, whose genes at one position are redrawn together.

    Raises:
        ValueError: the numbers do not fit each other, or the rates do not fit the space.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        population: Annotated[int, Ge(2), Le(MANY)],
        parents: Annotated[int, Ge(2), Le(MANY)],
        mutants: CountOrZero,
        crossovers: CountOrZero,
        mutation_rate: Share | Mapping[str, Share],
    ) -> None:
        if problems := list(_misfits(population, parents, problem.space, mutation_rate)):
            raise ValueError("\n".join(problems))
        self.problem = problem
        self.seed = seed
        self.population = population
        self.parents = parents
        self.mutants = mutants
        self.crossovers = crossovers
        self.mutation_rate = mutation_rate

    def propose(self, archive: Archive) -> Batch:
        rng = round_rng(self.seed, archive)
        if (missing := self.population - len(archive.feasible())) > 0:
            return Batch.of(
                *rejection_sample(self.problem, archive, rng, [self.problem.sample] * missing)
            )
        parents = [r.arch for r in archive.top(self.parents) if r.arch is not None]
        space = self.problem.space

        def mutant(rng: random.Random) -> Architecture:
            return space.mutate(rng.choice(parents), rng, self.mutation_rate)

        def crossover(rng: random.Random) -> Architecture:
            one, other = rng.sample(parents, 2)
            return space.crossover(one, other, rng)

        draws = [mutant] * self.mutants + [crossover] * self.crossovers
        return Batch.of(*rejection_sample(self.problem, archive, rng, draws))


def _misfits(
    population: int, parents: int, space: SearchSpace, rates: float | Mapping[str, float]
) -> Iterator[str]:
    if not 2 <= parents <= population:
        yield (
            f"strategy.parents must be between 2 and strategy.population, {population}, "
            f"got {parents}"
        )
    if not isinstance(rates, Mapping):
        return
    counts = {v.name: v.count for v in space.variables}
    groups = [key.split("+") for key in rates]
    if sorted(name for group in groups for name in group) != sorted(counts):
        yield (
            f"strategy.mutation_rate must have one rate for each of {', '.join(sorted(counts))}, "
            f"got {', '.join(sorted(rates))}"
        )
        return
    for group in groups:
        if len({counts[name] for name in group}) > 1:
            yield (
                f"strategy.mutation_rate: {' and '.join(group)} differ in their numbers of genes, "
                "so each needs a rate of its own"
            )
