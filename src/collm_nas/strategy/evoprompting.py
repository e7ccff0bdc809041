"""EvoPrompting (Chen, Dohan & So, 2023, https://arxiv.org/abs/2302.14838), on architectures.

A language model is the variation operator of an evolution: shown some of the best architectures
from worse to better, it writes the next ones. Parents are drawn anew in every round.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MANY, Count, Seed
from collm_nas.core.strategy import Batch, round_rng
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy import telling
from collm_nas.strategy.asking import Asking, Candidates, Manner


@checked
class EvoPrompting:
    """Let one LLM vary the best architectures so far.

    Args:
        population: the best so many architectures may become parents.
        parents: how many of them a prompt shows.
        The others: as for `CoLLM`. The first round is a random sample of `population` size.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        llm: ChatModel,
        candidates: Candidates,
        asking: Manner,
        population: Annotated[int, Ge(2), Le(MANY)],
        parents: Count,
    ) -> None:
        self.problem = problem
        self.seed = seed
        self.asking = Asking(llm, seed, candidates, **asking)
        self.population = population
        self.parents = parents

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""
        rng = round_rng(self.seed, archive)
        elite = telling.elite(archive, self.population)
        if len(elite) < self.parents:
            return Batch.of(*(self.problem.sample(rng) for _ in range(self.population)))
        parents = sorted(rng.sample(elite, self.parents), key=archive.score)

        def prompt(space: SearchSpace, request: str) -> list[Message]:
            knowledge = space.knowledge()
            mission = telling.mission(self.problem)
            lines = [telling.evaluated(r, space, archive.objective) for r in parents]
            user = telling.render(
                "paper/evoprompting_user", parents="\n".join(lines), request=request
            )
            return [
                Message(
                    "system",
                    telling.render("paper/generator_system", mission=mission, knowledge=knowledge),
                ),
                Message("user", user),
            ]

        return Batch(
            self.asking.ask(self.problem.space, archive, prompt, f"llm/{len(archive.rounds)}")
        )
