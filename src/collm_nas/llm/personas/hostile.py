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

from collm_nas.llm.personas.base import Answer, Persona, Question
from collm_nas.llm.personas.sensible import architectures, sensible
from collm_nas.llm.personas.writing import write

HUGE = 2_000_000  # characters
FILLERS = ("Let me think. ", "{", "[[[", '{"a":', "\\", "\N{SNOWMAN}")
UNKNOWN: dict[type, Any] = {int: 99, float: 9.9, str: "zz_unknown"}

Spoil = Callable[[Any, random.Random], Any]


def malformed_json(question: Question) -> Answer:
    """Write architectures that are not JSON: a quote, comma, brace or colon wrong in each."""

    def break_syntax(text: str, rng: random.Random) -> str:
        breaks: list[Callable[[], str]] = [
            lambda: text.replace('"', "'"),
            lambda: text.replace('"', "", 2),
            lambda: text.replace(":", "", 1),
            lambda: text[:-1] + ",}",
            lambda: text[:-1],
            lambda: "{// my best\n" + text[1:],
        ]
        return rng.choice(breaks)()

    if question.for_navigator:
        return sensible(question)
    return Answer(write(question, [break_syntax(text, question.rng) for text in _texts(question)]))


def wrong_lengths(question: Question) -> Answer:
    """Write lists and strings with values too many or one too few."""

    def resize(value: Any, rng: random.Random) -> Any:
        if isinstance(value, str) and "|" in value:  # a cell string: one edge too many or too few
            edges = re.findall(r"\|[^|+]+", value)
            edge = rng.choice(edges)
            return value.replace(edge, rng.choice(["", edge * 2]), 1)
        if isinstance(value, list | str):
            return rng.choice([value[:-1], value * 2])
        return [value, value]

    return _spoilt(question, resize)


def unknown_operations(question: Question) -> Answer:
    """Write values that the space does not have, one in each architecture."""

    def invent(value: Any, rng: random.Random) -> Any:
        match value:
            case list():
                i = rng.randrange(len(value))
                return [*value[:i], UNKNOWN[type(value[i])], *value[i + 1 :]]
            case str() if operations := re.findall(r"\w+(?=~)", value):
                return value.replace(rng.choice(operations), UNKNOWN[str], 1)
            case str():
                return "9" + value[1:]
        return UNKNOWN[type(value)]

    return _spoilt(question, invent)


def numbers_as_text(question: Question) -> Answer:
    """Write numbers as text, and text of digits as numbers."""

    def confuse(value: Any, rng: random.Random) -> Any:
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

    return _spoilt(question, confuse)


def duplicates_only(question: Question) -> Answer:
    """Write one and the same architecture, whatever is asked."""
    if question.for_navigator:
        return sensible(question)
    arch = question.space.sample(random.Random("duplicates_only"))
    return Answer(write(question, [json.dumps(question.space.encode(arch))] * question.count))


def huge(question: Question) -> Answer:
    """Write two million characters: prose, repeats, opening brackets, or one endless string."""
    answer = sensible(question)
    if question.for_navigator:
        return answer
    filler = question.rng.choice([*FILLERS, answer.text])
    padding = filler * (HUGE // len(filler))
    return replace(answer, text=question.rng.choice([padding + answer.text, answer.text + padding]))


def empty(question: Question) -> Answer:
    """Write nothing, or white space."""
    return Answer(question.rng.choice(["", " \n\n"]))


def refusal(question: Question) -> Answer:
    """Refuse to answer."""
    return Answer("I'm sorry, but I can't help with that.", refused=True)


def truncated(question: Question) -> Answer:
    """Stop in the middle, as at a token limit."""
    text = sensible(question).text
    start = max(text.find("{"), 0) + 1  # inside the JSON, if there is any
    end = text.rfind("}") if "}" in text else len(text)
    cut = question.rng.randrange(start, max(end, start + 1))
    return Answer(text[:cut], finish_reason="length")


def _texts(question: Question) -> list[str]:
    return [json.dumps(question.space.encode(arch)) for arch in architectures(question)]


def _spoilt(question: Question, spoil: Spoil) -> Answer:
    """Spoil one value of each architecture of a sensible answer."""
    if question.for_navigator:
        return sensible(question)
    spoilt = []
    for text in _texts(question):
        values = json.loads(text)
        key = question.rng.choice(sorted(values))
        spoilt.append(json.dumps({**values, key: spoil(values[key], question.rng)}))
    return Answer(write(question, spoilt))


HOSTILE: dict[str, Persona] = {
    persona.__name__: persona
    for persona in (
        malformed_json,
        wrong_lengths,
        unknown_operations,
        numbers_as_text,
        duplicates_only,
        huge,
        empty,
        refusal,
        truncated,
    )
}
