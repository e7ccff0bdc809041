"""Independent samples from a language model: the Generator's prompt without strategy or feedback.

The control that tells what a search adds to what the model knew beforehand (compare "Simple
Baselines are Competitive with Code Evolution", 2026, https://arxiv.org/abs/2602.16805).
"""

from __future__ import annotations

from collm_nas.core.archive import Archive
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Seed
from collm_nas.core.strategy import Batch
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy import telling
from collm_nas.strategy.asking import Asking, Candidates, Manner


@checked
class IIDLLM:
    """Ask the same question in every round. Args: as for `CoLLM`."""

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        llm: ChatModel,
        candidates: Candidates,
        asking: Manner,
    ) -> None:
        self.problem = problem
        self.asking = Asking(llm, seed, candidates, **asking)

    def propose(self, archive: Archive) -> Batch:
        """See `SearchStrategy`."""

        def prompt(space: SearchSpace, request: str) -> list[Message]:
            system = telling.render(
                "paper/generator_system",
                mission=telling.mission(self.problem),
                knowledge=space.knowledge(),
            )
            return [
                Message("system", system),
                Message("user", telling.render("paper/iid_llm_user", request=request)),
            ]

        return Batch(
            self.asking.ask(self.problem.space, archive, prompt, f"llm/{len(archive.rounds)}")
        )
