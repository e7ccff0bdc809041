"""Random search (Li & Talwalkar, 2019, https://arxiv.org/abs/1902.07638), without repeats."""

from __future__ import annotations

from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, Seed
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.strategy.rejection_sampling import rejection_sample


@checked
class RandomSearch:
    """Propose uniform samples that meet the limits.

    Args:
        batch_size: candidates per round.
    """

    def __init__(self, problem: Problem, seed: Seed, batch_size: Count) -> None:
        self.problem = problem
        self.seed = seed
        self.batch_size = batch_size

    def propose(self, archive: Archive) -> Batch:
        rng = round_rng(self.seed, archive)
        draws = [self.problem.sample] * self.batch_size
        return Batch.of(*rejection_sample(self.problem, archive, rng, draws))
