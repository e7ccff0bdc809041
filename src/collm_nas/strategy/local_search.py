"""Local search (White, Nolen & Savani, 2020, https://arxiv.org/abs/2005.02960).

First improvement: the neighbours of where it stands are tried in random order; the first better
one is where it stands next. In a local optimum it starts anew at random.
"""

from __future__ import annotations

import json

from collm_nas.architecture import Architecture
from collm_nas.archive import Archive
from collm_nas.problem import Problem
from collm_nas.strategy.base import Batch, Proposal, known, new_neighbours, new_sample, round_rng


class LocalSearch:
    """Climb. The memo of a round names the architecture whose neighbour was tried."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.seed = seed

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng, avoid = round_rng(self.seed, archive), known(archive)
        stand = self._stand(archive)
        if stand and (near := new_neighbours(self.problem, stand, avoid)):
            return Batch([Proposal(rng.choice(near))], note=json.dumps(stand.to_json()))
        return Batch.of(new_sample(self.problem, rng, avoid))

    def _stand(self, archive: Archive) -> Architecture | None:
        """Return where the search stands: the last try if it is better than where it came from."""
        if not archive.rounds:
            return None
        last = archive.rounds[-1]
        tried = last.records[0]
        came_from = Architecture.of(json.loads(last.note)) if last.note else None
        if tried.verdict != "feasible":
            return came_from
        if came_from is None:
            return tried.arch
        before = next(r for r in archive.feasible() if r.arch == came_from)
        return tried.arch if archive.score(tried) > archive.score(before) else came_from
