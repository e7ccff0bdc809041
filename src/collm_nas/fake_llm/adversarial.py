"""Personas that answer as badly as language models sometimes do, each in one way.

They start from what the sensible persona would write, so that only what they are named after is
wrong. Asked for a strategy, those that spoil architectures write a sensible one.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from collm_nas.fake_llm.question import Persona, Question
from collm_nas.fake_llm.sensible import architectures, sensible
from collm_nas.llm.base import Reply

HUGE = 2_000_000  # characters
FILLERS = ("Let me think. ", "{", "[[[", '{"a":', "\\", "\N{SNOWMAN}")
UNKNOWN: dict[type, Any] = {int: 99, float: 9.9, str: "zz_unknown"}


def break_syntax(text: str, rng: random.Random) -> str:
    """Write a quote, comma, brace or colon wrong."""
    breaks: list[Callable[[], str]] = [
        lambda: text.replace('"', "'"),
        lambda: text.replace('"', "", 2),
        lambda: text.replace(":", "", 1),
        lambda: text[:-1] + ",}",
        lambda: text[:-1],
        lambda: "{// my best\n" + text[1:],
    ]
    return rng.choice(breaks)()


def resize(value: Any, rng: random.Random) -> Any:
    """Write a list or string with values too many or one too few."""
    if isinstance(value, str) and "|" in value:  # a cell string: one edge too many or too few
        edges = re.findall(r"\|[^|+]+", value)
        edge = rng.choice(edges)
        return value.replace(edge, rng.choice(["", edge * 2]), 1)
    if isinstance(value, list | str):
        return rng.choice([value[:-1], value * 2])
    return [value, value]


def invent(value: Any, rng: random.Random) -> Any:
    """Write a value that the space does not have."""
    match value:
        case list():
            i = rng.randrange(len(value))
            return [*value[:i], UNKNOWN[type(value[i])], *value[i + 1 :]]
        case str() if operations := re.findall(r"\w+(?=~)", value):
            return value.replace(rng.choice(operations), UNKNOWN[str], 1)
        case str():
            return "9" + value[1:]
    return UNKNOWN[type(value)]


def confuse(value: Any, rng: random.Random) -> Any:
    """Write numbers as text, and text of digits as numbers."""
    match value:
        case list() if all(isinstance(v, str) for v in value):
            return ", ".join(value)
        case list():
            return [str(v) for v in value]
        case str() if value.isdigit():
            return int(value)
        case str():
            return re.sub(r"\d+(?=\|)", lambda digits: f'"{digits[0]}"', value)
    return str(value)


def in_one_value(spoil: Callable[[Any, random.Random], Any]) -> Callable[[str, random.Random], str]:
    """Return what spoils one value of an architecture that is written as JSON."""

    def spoil_one(text: str, rng: random.Random) -> str:
        values = json.loads(text)
        key = rng.choice(sorted(values))
        return json.dumps({**values, key: spoil(values[key], rng)})

    return spoil_one


def spoiling(spoil: Callable[[str, random.Random], str]) -> Persona:
    """Return the persona that spoils each architecture of a sensible answer."""

    def persona(question: Question) -> Reply:
        if question.for_navigator:
            return sensible(question)
        texts = [*map(question.spell, architectures(question))]
        return Reply(question.write([spoil(text, question.rng) for text in texts]))

    return persona


def duplicates_only(question: Question) -> Reply:
    """Write one and the same architecture, whatever is asked."""
    if question.for_navigator:
        return sensible(question)
    arch = question.space.sample(random.Random("duplicates_only"))
    return Reply(question.write([question.spell(arch)] * question.count))


def huge(question: Question) -> Reply:
    """Write two million characters: prose, repeats, opening brackets, or one endless string."""
    answer = sensible(question)
    if question.for_navigator:
        return answer
    filler = question.rng.choice([*FILLERS, answer.text])
    padding = filler * (HUGE // len(filler))
    return replace(answer, text=question.rng.choice([padding + answer.text, answer.text + padding]))


def empty(question: Question) -> Reply:
    """Write nothing, or white space."""
    return Reply(question.rng.choice(["", " \n\n"]))


def refusal(question: Question) -> Reply:
    """Refuse to answer."""
    return Reply("I'm sorry, but I can't help with that.", finish_reason="refusal")


def truncated(question: Question) -> Reply:
    """Stop in the middle, as at a token limit."""
    text = sensible(question).text
    start = max(text.find("{"), 0) + 1  # inside the JSON, if there is any
    end = text.rfind("}") if "}" in text else len(text)
    cut = question.rng.randrange(start, max(end, start + 1))
    return Reply(text[:cut], finish_reason="length")


ADVERSARIAL: dict[str, Persona] = {
    "malformed_json": spoiling(break_syntax),
    "wrong_lengths": spoiling(in_one_value(resize)),
    "unknown_operations": spoiling(in_one_value(invent)),
    "numbers_as_text": spoiling(in_one_value(confuse)),
    "duplicates_only": duplicates_only,
    "huge": huge,
    "empty": empty,
    "refusal": refusal,
    "truncated": truncated,
}
