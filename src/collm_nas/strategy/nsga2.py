"""NSGA-II (Deb et al., 2002, https://doi.org/10.1109/4235.996017): evolution towards a front.

Of parents and children together the next parents survive: front by front, and of the last front
that fits only in part, those in the least crowded places (pymoo's implementation). The population
is not stored: it follows from the archive, whose rounds are the generations.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MANY, Seed, Share
from collm_nas.core.strategy import Batch, Fold, round_rng
from collm_nas.strategy.rejection_sampling import rejection_sample


@dataclass(frozen=True)
class Survivor:
    """A parent, and what decides a tournament: its front, 0 is the best, and its free space."""

    record: Record
    rank: int
    crowding: float

    @property
    def fitness(self) -> tuple[int, float]:
        """Compare by front first, then by free space; the larger wins."""
        return -self.rank, self.crowding


@checked
class NSGA2:
    """Breed each generation from the last survivors; a generation is a round.

    What is traded for the objective are the costs in the config key `pareto`; without any, it is
    an elitist evolution.

    Args:
        population: uniform samples to begin with, survivors, and children per generation.
        crossover_rate: probability that a child takes its genes from two parents.
        mutation_rate: probability that a gene is redrawn.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        population: Annotated[int, Ge(2), Le(MANY)],
        crossover_rate: Share,
        mutation_rate: Share,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.population = population
        self.crossover_rate = crossover_rate
        self.mutation_rate = mutation_rate
        self.survivors: Fold[Sequence[Survivor]] = Fold((), self._survive)

    def propose(self, archive: Archive) -> Batch:
        rng = round_rng(self.seed, archive)
        if (missing := self.population - len(archive.feasible())) > 0:
            return Batch.of(
                *rejection_sample(self.problem, archive, rng, [self.problem.sample] * missing)
            )
        alive = self.survivors(archive)

        def child(rng: random.Random) -> Architecture:
            space = self.problem.space
            mother, father = _tournament(alive, rng), _tournament(alive, rng)
            crossed = rng.random() < self.crossover_rate
            start = space.crossover(mother, father, rng) if crossed else mother
            return space.mutate(start, rng, self.mutation_rate)

        return Batch.of(*rejection_sample(self.problem, archive, rng, [child] * self.population))

    def _survive(self, alive: Sequence[Survivor], round_: Round) -> Sequence[Survivor]:
        """Repeat the selection of a generation; return what lives after it."""
        born = [r for r in round_.records if r.verdict == "feasible"]
        return self._select([*(s.record for s in alive), *born]) if born else alive

    def _select(self, records: Sequence[Record]) -> Sequence[Survivor]:
        # here: a search without NSGA-II need not wait for this import
        import numpy as np
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem as Objectives
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        best, costs = self.problem.objective, self.problem.minimised
        rows = [[-r.metrics[best], *(r.metrics[cost] for cost in costs)] for r in records]
        crowd = Population.new("F", np.array(rows, dtype=float))
        chosen = RankAndCrowding().do(
            Objectives(n_var=0, n_obj=1 + len(costs)),
            crowd,
            n_survive=self.population,
            random_state=np.random.default_rng([self.seed, len(records)]),  # breaks ties
            return_indices=True,
        )
        return [
            Survivor(records[i], int(crowd[i].get("rank")), float(crowd[i].get("crowding")))
            for i in chosen
        ]


def _tournament(alive: Sequence[Survivor], rng: random.Random) -> Architecture:
    winner = max(rng.sample(alive, 2), key=lambda s: s.fitness).record.arch
    assert winner is not None
    return winner
