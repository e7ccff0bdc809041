"""The persona that reasons before it answers, as models with a chain of thought do.

Its thoughts hold a draft architecture: whoever parses them evaluates what was never proposed.
"""

from __future__ import annotations

import json
from dataclasses import replace

from collm_nas.llm.personas.base import Answer, Question
from collm_nas.llm.personas.sensible import sensible


def thinking(question: Question) -> Answer:
    """Think aloud, with drafts that are no part of the answer, then answer sensibly."""
    draft = json.dumps(question.space.encode(question.space.sample(question.rng)))
    return replace(sensible(question), reasoning=f"What of {draft}? No, there are better ones.")
