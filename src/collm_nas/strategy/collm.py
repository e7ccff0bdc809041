"""CoLLM-NAS (Li, Lin & Wang, 2025, https://arxiv.org/abs/2509.26037), Algorithm 1.

A Navigator LLM, which remembers all rounds, writes the strategy of the next round; a Generator
LLM, which remembers nothing, turns that strategy into architectures. The Navigator's memory is
the archive, retold as the dialogue that it was.
"""

from __future__ import annotations

import math

from collm_nas.core.archive import Archive, Round
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Problem
from collm_nas.core.ranges import Count, MaybeInfinite, Seed
from collm_nas.core.strategy import Batch
from collm_nas.llm.base import ChatModel, Message
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.settings import Prompting
from collm_nas.strategy.prompted import PAPER, Candidates, Prompted

MAX_STRATEGY = 20_000  # characters: it is retold in every round, and a model may run wild


@checked
class CoLLM(Prompted):
    """Navigator and Generator take turns, once per round.

    Args:
        candidates, target: see `Prompted`.
        prompting: how the Generator is asked; its `memory` is that the Navigator sees the whole
            dialogue, not just the last results [on], its `examples` are shown to the Generator [0].
        memory_rounds: the Navigator sees that many of the last rounds in full, and one summary of
            all before them, which says that it is one. None: the whole dialogue. [None]
        memory_from: `memory_rounds` holds once so many rounds are done, so that a search whose
            dialogue has grown too long can go on with less. None: always.
        generator_memory: the Generator sees its own earlier rounds, too. [off]
        report_rejected: tell the Navigator which candidates were invalid, duplicate or, when they
            are not evaluated, over the limits. [off]

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
        prompting: Prompting = PAPER,
        target: MaybeInfinite = math.inf,
        generator_memory: bool = False,
        report_rejected: bool = False,
        memory_rounds: Count | None = None,
        memory_from: Count | None = None,
    ) -> None:
        if memory_rounds is not None and not prompting.memory:
            raise ValueError(
                f"strategy.memory_rounds={memory_rounds} bounds the Navigator's memory, which "
                "prompting.memory=false switches off: leave out one"
            )
        if memory_from is not None and memory_rounds is None:
            raise ValueError(
                f"strategy.memory_from={memory_from} says from when on the Navigator's memory is "
                "bounded, and strategy.memory_rounds=… to how many rounds: set both"
            )
        super().__init__(problem, seed, generator, candidates, prompting, target)
        self.navigator = navigator
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

        def prompt(dialect: Dialect, request: str) -> list[Message]:
            return self._generator_dialogue(archive, dialect, strategy, request)

        return Batch(self.ask(archive, prompt, f"generator/{index}"), strategy)

    def _navigator_dialogue(self, archive: Archive) -> list[Message]:
        """Rebuild what the Navigator remembers: its strategies, each followed by its results."""
        dialect, remembers = self.dialect, self.prompting.memory
        turns = [self.message("system", "navigator_system", dialect)]
        done = len(archive.rounds)
        told, since = self._memory if remembers else (1, 0)
        left_out = max(0, done - told) if told and done >= since else 0
        if remembers and left_out:
            summary = texts.summary(archive, self.problem, dialect, left_out)
            turns.append(Message("user", summary))
        elif remembers or not archive.rounds:
            turns.append(self.message("user", "navigator_first", dialect))
        for round_ in archive.rounds[left_out:]:
            if remembers:
                turns.append(Message("assistant", round_.note))
            turns.append(self._feedback(archive, round_))
        return turns

    def _feedback(self, archive: Archive, round_: Round) -> Message:
        dialect, until = self.dialect, round_.index + 1
        return self.message(
            "user",
            "navigator_feedback",
            dialect,
            results=texts.results(round_, archive.objective, dialect, self.report_rejected),
            best=texts.best(archive, self.problem, dialect, until),
            examples=self.examples(archive, dialect, until),
        )

    def _generator_dialogue(
        self, archive: Archive, dialect: Dialect, strategy: str, request: str
    ) -> list[Message]:
        def task(strategy: str, examples: list[str]) -> Message:
            return self.message(
                "user",
                "generator_user",
                dialect,
                strategy=strategy,
                examples=examples,
                request=request,
            )

        turns = [self.message("system", "generator_system", dialect)]
        if self.generator_memory:
            for round_ in archive.rounds:
                turns.append(task(round_.note, []))
                turns.append(Message("assistant", texts.answer(round_)))
        return [*turns, task(strategy, self.examples(archive, dialect))]
