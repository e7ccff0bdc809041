"""All personas that write an answer, by name, and how one is asked.

An answer is a function of persona, seed, purpose and messages: an interrupted search that asks
again is answered the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace

from collm_nas.fake_llm import sensible
from collm_nas.fake_llm.adversarial import ADVERSARIAL
from collm_nas.fake_llm.question import Persona, Question
from collm_nas.llm.base import JSON, SCRIPTED, Message, Reply, Usage
from collm_nas.prompting.dialect import Dialect

PERSONAS: Mapping[str, Persona] = {
    "sensible": sensible.sensible,
    "random": sensible.random,
    "thinking": sensible.thinking,
    **ADVERSARIAL,
}
RENAMED = {"stupid": "random"}  # in configs of older runs


def look_up(persona: str, known: Collection[str] = PERSONAS) -> str:
    """Return today's name of a persona.

    Raises:
        ValueError: there is no such persona; the message names those there are.
    """
    name = RENAMED.get(persona, persona)
    if name not in known:
        raise ValueError(f"persona must be one of {', '.join(known)}, got {persona!r}")
    return name


def label(persona: str) -> str:
    """Return the name of the model as which a persona answers: it says that it is none."""
    return f"{SCRIPTED}:{persona}"


def ask(
    persona: str,
    dialect: Dialect,
    messages: Sequence[Message],
    *,
    purpose: str,
    seed: int,
    schema: JSON | None = None,
    json_only: bool = False,
    max_tokens: int | None = None,
) -> Reply:
    """Let `persona` answer.

    Args:
        purpose: names the call, as in `ChatModel.complete`: its role says what is asked for, and
            calls of different purposes are answered differently.
        schema, json_only: see `Question`; adversarial personas ignore what they are named after.
        max_tokens: where the answer is cut; thoughts count first, as they are written first.

    Raises:
        ValueError: no architecture of the space has the schema.
    """
    asked = [persona, seed, purpose, [asdict(message) for message in messages]]
    rng = random.Random(hashlib.sha256(json.dumps(asked).encode()).digest())
    question = Question(dialect, purpose, messages, rng, schema, json_only)
    reply = PERSONAS[persona](question)
    text, reasoning, finish_reason = reply.text, reply.reasoning, reply.finish_reason or "stop"
    if max_tokens is not None and tokens(reasoning, text) > max_tokens:
        text = text[: 4 * max(0, max_tokens - tokens(reasoning))]
        reasoning, finish_reason = reasoning[: 4 * max_tokens], "length"
    usage = Usage(
        input=tokens(*(message.content for message in messages)),
        output=tokens(reasoning, text),
        reasoning=tokens(reasoning),
    )
    return replace(
        reply,
        text=text,
        reasoning=reasoning,
        finish_reason=finish_reason,
        model=label(persona),
        usage=usage,
    )


def tokens(*texts: str) -> int:
    """Count tokens as roughly as everybody does: four characters each."""
    return sum(math.ceil(len(text) / 4) for text in texts)
