"""Random search (Li & Talwalkar, 2019, https://arxiv.org/abs/1902.07638)."""

from __future__ import annotations

from collm_nas.archive import Archive
from collm_nas.problem import Problem
from collm_nas.strategy.base import Batch, known, new_sample, round_rng


class RandomSearch:
    """Propose uniform samples that meet the limits, each once.

    Args:
        batch_size: candidates per round.
    """

    def __init__(self, problem: Problem, seed: int, batch_size: int) -> None:
        self.problem = problem
        self.seed = seed
        self.batch_size = batch_size

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng, avoid = round_rng(self.seed, archive), known(archive)
        batch = []
        for _ in range(self.batch_size):
            batch.append(new_sample(self.problem, rng, avoid))
            avoid.add(batch[-1])
        return Batch.of(*batch)
