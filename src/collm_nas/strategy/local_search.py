"""Local search (White, Nolen & Savani, 2020, https://arxiv.org/abs/2005.02960).

First improvement: it moves to the first neighbour that is better, and starts anew when none is.
Where it stands follows from the archive: it is the best architecture since the last start, and
the round's note says which rounds were starts.
"""

from __future__ import annotations

import random
from itertools import islice

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, Seed
from collm_nas.core.strategy import Batch, Fold, Proposal, round_rng
from collm_nas.strategy.rejection_sampling import rejection_sample

START, STEP = "start", "step"  # notes


@checked
class LocalSearch:
    """Try the neighbours of the best architecture since the last start, in random order.

    Args:
        batch_size: neighbours per round; 1 is the original.
    """

    def __init__(self, problem: Problem, seed: Seed, batch_size: Count) -> None:
        self.problem = problem
        self.seed = seed
        self.batch_size = batch_size
        self._current: Fold[Record | None] = Fold(None, self._climb)

    def propose(self, archive: Archive) -> Batch:
        rng = round_rng(self.seed, archive)
        note, archs = STEP, self._untried_neighbours(archive, rng)
        if not archs:
            note, archs = START, rejection_sample(self.problem, archive, rng, [self.problem.sample])
        return Batch([Proposal(arch) for arch in archs], note)

    def _untried_neighbours(self, archive: Archive, rng: random.Random) -> list[Architecture]:
        current = self._current(archive)
        if current is None or current.arch is None:
            return []
        around = self.problem.space.neighbours(current.arch)
        neighbours = [arch for arch in around if arch not in archive.seen]
        rng.shuffle(neighbours)
        return list(islice(filter(self.problem.is_feasible, neighbours), self.batch_size))

    def _climb(self, best: Record | None, round_: Round) -> Record | None:
        """Return the best since the last start; `None` while nothing could be evaluated."""
        found = [r for r in round_.records if r.verdict == "feasible"]
        if best and round_.note != START:
            found.insert(0, best)
        return max(found, key=lambda r: r.metrics[self.problem.objective], default=None)
