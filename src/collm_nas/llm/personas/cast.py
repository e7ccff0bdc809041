"""All personas that write an answer, by name, and how one is asked.

An answer is a function of persona, seed, call and messages: an interrupted search that asks again
is answered the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from collm_nas.llm.base import JSON, SCRIPTED, Message
from collm_nas.llm.personas.base import Answer, Persona, Question, Space
from collm_nas.llm.personas.hostile import HOSTILE
from collm_nas.llm.personas.sensible import sensible
from collm_nas.llm.personas.stupid import stupid
from collm_nas.llm.personas.thinking import thinking

PERSONAS: Mapping[str, Persona] = {
    "sensible": sensible,
    "stupid": stupid,
    "thinking": thinking,
    **HOSTILE,
}


def ask(
    persona: str,
    space: Space,
    messages: Sequence[Message],
    *,
    seed: int,
    call: object = None,
    schema: JSON | None = None,
    json_only: bool = False,
) -> Answer:
    """Let `persona` answer.

    Args:
        call: tells apart calls with the same messages.
        schema, json_only: see `Question`; hostile personas ignore what they are named after.

    Raises:
        ValueError: no architecture of the space has the schema.
    """
    told = [persona, seed, call, [asdict(message) for message in messages]]
    rng = random.Random(hashlib.sha256(json.dumps(told).encode()).digest())
    return PERSONAS[persona](Question(space, messages, rng, schema, json_only))


def label(persona: str) -> str:
    """Return the name of the model as which a persona answers: it says that it is none."""
    return f"{SCRIPTED}:{persona}"


def tokens(*texts: str) -> int:
    """Count tokens as roughly as everybody does: four characters each."""
    return sum(math.ceil(len(text) / 4) for text in texts)
