"""SiLLM-NAS, the ablation of CoLLM-NAS (Li, Lin & Wang, 2025, section 4.3): one LLM does it all.

In every round the same model sees all results, reflects on them and writes the architectures.
"""

from __future__ import annotations

import math

from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import MaybeInfinite, Seed
from collm_nas.core.strategy import Batch
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy import telling
from collm_nas.strategy.asking import Asking, Candidates, Manner


@checked
class SingleLLM:
    """Ask one LLM for the next candidates, given everything evaluated so far.

    Args: as for `CoLLM`.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        llm: ChatModel,
        candidates: Candidates,
        asking: Manner,
        target: MaybeInfinite = math.inf,
    ) -> None:
        self.problem = problem
        self.asking = Asking(llm, seed, candidates, **asking)
        self.mission = telling.mission(problem, target)

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""

        def prompt(space: SearchSpace, request: str) -> list[Message]:
            knowledge = space.knowledge()
            system = telling.render(
                "paper/single_llm_system", mission=self.mission, knowledge=knowledge
            )
            user = telling.render(
                "paper/single_llm_user", history=telling.history(archive, space), request=request
            )
            return [Message("system", system), Message("user", user)]

        return Batch(
            self.asking.ask(self.problem.space, archive, prompt, f"llm/{len(archive.rounds)}")
        )
