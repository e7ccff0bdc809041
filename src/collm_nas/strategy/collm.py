"""CoLLM-NAS (Li, Lin & Wang, 2025, https://arxiv.org/abs/2509.26037), Algorithm 1.

A Navigator LLM, which remembers all rounds, writes the strategy of the next round; a Generator
LLM, which remembers nothing, turns that strategy into architectures. The Navigator's memory is
the archive, retold as the dialogue that it was.
"""

from __future__ import annotations

import math
from typing import Literal

from collm_nas.core.archive import Archive, Round
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, MaybeInfinite, Seed
from collm_nas.core.strategy import Batch
from collm_nas.llm.base import ChatModel, Message
from collm_nas.spaces.base import SearchSpace
from collm_nas.strategy import telling
from collm_nas.strategy.asking import Asking, Candidates, Manner

MAX_STRATEGY = 20_000  # characters: it is retold in every round, and a model may run wild


@checked
class CoLLM:
    """Navigator and Generator take turns, once per round.

    Args:
        candidates: how many architectures a round asks for, "8" or a range as in "10-20".
        prompts: the set of prompt files, `paper` or `brief` (for small models).
        target: objective that the prompts name as the goal; infinite: none is named.
        navigator_memory: the Navigator sees the whole dialogue, not just the last results. [on]
        memory_rounds: the Navigator sees that many of the last rounds in full, and one summary of
            all before them, which says that it is one. None: the whole dialogue. [None]
        memory_from: `memory_rounds` holds once so many rounds are done, so that a search whose
            dialogue has grown too long can go on with less. None: always.
        generator_memory: the Generator sees its own earlier rounds, too. [off]
        report_rejected: tell the Navigator which candidates were invalid, duplicate or, when they
            are not evaluated, over the limits. [off]
        asking: how the Generator is asked; see `Asking`.

    In brackets: the setting of the paper.

    Raises:
        ValueError: a memory that is off has a bound, or a bound that is not set a beginning.
    """

    def __init__(
        self,
        problem: Problem,
        seed: Seed,
        navigator: ChatModel,
        generator: ChatModel,
        candidates: Candidates,
        asking: Manner,
        prompts: Literal["paper", "brief"] = "paper",
        target: MaybeInfinite = math.inf,
        navigator_memory: bool = True,
        generator_memory: bool = False,
        report_rejected: bool = False,
        memory_rounds: Count | None = None,
        memory_from: Count | None = None,
    ) -> None:
        if memory_rounds is not None and not navigator_memory:
            raise ValueError(
                f"strategy.memory_rounds={memory_rounds} bounds the Navigator's memory, which "
                "strategy.navigator_memory=false (llm.asking.memory) switches off: leave out one"
            )
        if memory_from is not None and memory_rounds is None:
            raise ValueError(
                f"strategy.memory_from={memory_from} says from when on the Navigator's memory is "
                "bounded, and strategy.memory_rounds=… to how many rounds: set both"
            )
        self.problem = problem
        self.navigator = navigator
        self.asking = Asking(generator, seed, candidates, **asking)
        self.prompts = prompts
        self.mission = telling.mission(problem, target)
        self.navigator_memory = navigator_memory
        # under a name of its own, since it is no part of a search's identity: one whose dialogue
        # has grown too long goes on with less of it
        self._memory = memory_rounds, memory_from or 0
        self.generator_memory = generator_memory
        self.report_rejected = report_rejected

    def propose(self, archive: Archive) -> Batch:
        """Ask the Navigator for a strategy, then the Generator for architectures."""
        index = len(archive.rounds)
        dialogue = self._navigator_dialogue(archive)
        strategy = self.navigator.complete(dialogue, purpose=f"navigator/{index}").text
        if len(strategy) > MAX_STRATEGY:
            strategy = strategy[:MAX_STRATEGY] + f"\n[cut after {MAX_STRATEGY:,} characters]"

        def prompt(space: SearchSpace, request: str) -> list[Message]:
            return self._generator_dialogue(archive, space, strategy, request)

        return Batch(
            self.asking.ask(self.problem.space, archive, prompt, f"generator/{index}"), strategy
        )

    def _navigator_dialogue(self, archive: Archive) -> list[Message]:
        """Rebuild what the Navigator remembers: its strategies, each followed by its results."""
        knowledge = self.problem.space.knowledge()
        turns = [self._message("system", "navigator_system", knowledge=knowledge)]
        done = len(archive.rounds)
        told, since = self._memory if self.navigator_memory else (1, 0)
        left_out = max(0, done - told) if told and done >= since else 0
        if self.navigator_memory and left_out:
            turns.append(Message("user", telling.summary(archive, self.problem, left_out)))
        elif self.navigator_memory or not archive.rounds:
            turns.append(self._message("user", "navigator_first"))
        for round_ in archive.rounds[left_out:]:
            if self.navigator_memory:
                turns.append(Message("assistant", round_.note))
            turns.append(self._feedback(archive, round_))
        return turns

    def _feedback(self, archive: Archive, round_: Round) -> Message:
        space, until = self.problem.space, round_.index + 1
        return self._message(
            "user",
            "navigator_feedback",
            results=telling.results(round_, archive.objective, space, self.report_rejected),
            best=telling.best(archive, self.problem, until),
            examples=telling.examples(archive, space, self.asking.examples, until),
        )

    def _generator_dialogue(
        self, archive: Archive, space: SearchSpace, strategy: str, request: str
    ) -> list[Message]:
        turns = [self._message("system", "generator_system", knowledge=space.knowledge())]
        if self.generator_memory:
            for round_ in archive.rounds:
                turns.append(self._task(round_.note, "", request))
                turns.append(Message("assistant", telling.answer(round_)))
        examples = telling.examples(archive, space, self.asking.examples)
        turns.append(self._task(strategy, examples, request))
        return turns

    def _task(self, strategy: str, examples: str, request: str) -> Message:
        return self._message(
            "user", "generator_user", strategy=strategy, examples=examples, request=request
        )

    def _message(self, role: Literal["system", "user"], prompt: str, **values: str) -> Message:
        text = telling.render(f"{self.prompts}/{prompt}", mission=self.mission, **values)
        return Message(role, text)
