"""From what a language model wrote to proposals: find the JSON objects, change nothing in them.

Anything may stand around the objects: prose, code fences, an enclosing list or
`{"architectures": […]}`. What cannot be read becomes an invalid proposal that keeps the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from collm_nas.architecture import InvalidArchitecture
from collm_nas.llm.base import Reply
from collm_nas.searchspace.base import SearchSpace
from collm_nas.strategy.base import Proposal

WRAPPER = "architectures"
MAX_PROPOSALS = 200  # of one answer: a model that runs wild must not fill the archive
MAX_BROKEN = 2_000  # opening braces that start no object, before the rest is given up
MAX_TEXT = 2_000  # characters of a proposal that the archive keeps; the ledger keeps everything


def read_proposals(reply: Reply, space: SearchSpace) -> list[Proposal]:
    """Read one proposal per object in the answer; there is always at least one."""
    proposals: list[Proposal] = []
    for value, text in _candidates(reply.text):
        if len(proposals) == MAX_PROPOSALS:
            error = InvalidArchitecture(f"only {MAX_PROPOSALS} candidates of an answer are read")
            proposals.append(Proposal(error))
            break
        proposals.append(_proposal(value, text, space))
    if not proposals:
        return [Proposal(InvalidArchitecture(_why_nothing(reply)), reply.text[:MAX_TEXT])]
    return proposals


def contains_objects(reply: Reply) -> bool:
    """Tell whether there is anything to read in the answer."""
    return any(True for _ in _candidates(reply.text))


def _proposal(value: Any, text: str, space: SearchSpace) -> Proposal:
    try:
        return Proposal(space.decode(value), text[:MAX_TEXT])
    except InvalidArchitecture as error:
        return Proposal(error, text[:MAX_TEXT])


def _candidates(text: str) -> Iterator[tuple[Any, str]]:
    """Iterate over the parsed candidates and the text of each."""
    for value, written in _objects(text):
        inside = value.get(WRAPPER)
        if isinstance(inside, list):
            yield from ((candidate, json.dumps(candidate)) for candidate in inside)
        else:
            yield value, written


def _objects(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Iterate over the outermost JSON objects in `text`."""
    decoder, position, broken = json.JSONDecoder(), 0, 0
    while (start := text.find("{", position)) >= 0 and broken < MAX_BROKEN:
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # also numbers of absurd length
            position = start + 1
            broken += 1
            continue
        yield value, text[start:position]


def _why_nothing(reply: Reply) -> str:
    if not reply.text.strip():
        cause = f" (finish reason: {reply.finish_reason})" if reply.finish_reason else ""
        return f"the answer is empty{cause}"
    if reply.finish_reason == "length":
        return "the answer was cut off at the token limit before it held a whole JSON object"
    return "the answer contains no JSON object"
