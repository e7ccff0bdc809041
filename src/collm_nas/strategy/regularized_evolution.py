"""Regularized evolution (Real et al., 2019, https://arxiv.org/abs/1802.01548)."""

from __future__ import annotations

from collm_nas.archive import Archive
from collm_nas.problem import Problem
from collm_nas.strategy.base import Batch, known, new_neighbours, new_sample, round_rng


class RegularizedEvolution:
    """Mutate one gene of the best in a random sample of the youngest `population` architectures.

    The population is a window on the archive, so "the oldest dies" needs no bookkeeping. Unlike
    the original, a child that was evaluated before is not proposed again.
    """

    def __init__(self, problem: Problem, seed: int, population: int, tournament: int) -> None:
        self.problem = problem
        self.seed = seed
        self.population = population
        self.tournament = min(tournament, population)

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng, avoid = round_rng(self.seed, archive), known(archive)
        alive = archive.feasible()[-self.population :]
        if len(alive) == self.population:
            rivals = rng.sample(alive, self.tournament)
            for parent in sorted(rivals, key=archive.score, reverse=True):
                assert parent.arch is not None
                if children := new_neighbours(self.problem, parent.arch, avoid):
                    return Batch.of(rng.choice(children))
        return Batch.of(new_sample(self.problem, rng, avoid))
