"""The persona that knows nothing: random legal architectures, as a model without a clue writes."""

from __future__ import annotations

import json

from collm_nas.llm.personas.base import Answer, Question
from collm_nas.llm.personas.writing import write

STRATEGY = "# SUMMARY\nNo idea.\n# KEY PATTERNS\n- None.\n# NAVIGATION DIRECTIONS\nTry anything."


def stupid(question: Question) -> Answer:
    """Write random legal architectures and a strategy without content."""
    if question.for_navigator:
        return Answer(STRATEGY)
    space, rng = question.space, question.rng
    archs = [space.sample(rng) for _ in range(question.count)]
    return Answer(write(question, [json.dumps(space.encode(arch)) for arch in archs]))
