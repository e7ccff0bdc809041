"""Regularized evolution (Real et al., 2019, https://arxiv.org/abs/1802.01548).

The population is what was evaluated last, so "the oldest dies" needs no bookkeeping. Unlike the
original, a child that is known already is drawn again: the budget counts unique architectures.
"""

from __future__ import annotations

import random

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, Seed
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.strategy.rejection_sampling import rejection_sample


@checked
class RegularizedEvolution:
    """Mutate one gene of the best of a random sample of the youngest architectures.

    Args:
        population: how many of the youngest are alive; as many are drawn uniformly at first.
        tournament: how many of them compete to be the parent of a child.
        batch_size: children per round; 1 is the original, in which each child may become a
            parent at once.

    Raises:
        ValueError: the tournament is larger than the population.
    """

    def __init__(
        self, problem: Problem, seed: Seed, population: Count, tournament: Count, batch_size: Count
    ) -> None:
        if tournament > population:
            raise ValueError(
                f"strategy.tournament must be at most strategy.population, {population}, "
                f"got {tournament}"
            )
        self.problem = problem
        self.seed = seed
        self.population = population
        self.tournament = tournament
        self.batch_size = batch_size

    def propose(self, archive: Archive) -> Batch:
        alive = archive.feasible()[-self.population :]

        def child(rng: random.Random) -> Architecture:
            parent = max(rng.sample(alive, self.tournament), key=archive.score).arch
            assert parent is not None
            return self.problem.space.mutate_one(parent, rng)

        draw = child if len(alive) == self.population else self.problem.sample
        rng = round_rng(self.seed, archive)
        return Batch.of(*rejection_sample(self.problem, archive, rng, [draw] * self.batch_size))
