"""From what a language model wrote to proposals: find the JSON objects, change nothing in them.

Anything may stand around the objects: prose, code fences, lists and objects of any name and depth,
as in `{"parameters": {"architectures": […]}}`. What cannot be read becomes an invalid proposal that
keeps the text. All of this takes time linear in the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from collm_nas.core.architecture import InvalidArchitecture
from collm_nas.core.strategy import Proposal
from collm_nas.prompting.dialect import Dialect

WRAPPER = "architectures"
MAX_READ = 1_000_000  # characters of an answer
MAX_PROPOSALS = 200  # of one answer: a model that runs wild must not fill the archive
MAX_TEXT = 2_000  # characters of a proposal that the archive keeps; the ledger keeps everything
# Text that is read in vain (an object that breaks off is searched again for those inside it), in
# characters, before the rest is given up; an attempt costs as much as some thousand of them.
MAX_IN_VAIN, ATTEMPT = 8_000_000, 4_000


def read_proposals(text: str, dialect: Dialect) -> list[Proposal]:
    """Read one proposal per object in an answer."""
    proposals: list[Proposal] = []
    for value, written in _candidates(text, _labels(dialect.schema())):
        if len(proposals) == MAX_PROPOSALS:
            error = InvalidArchitecture(f"only {MAX_PROPOSALS} candidates of an answer are read")
            return [*proposals, Proposal(error)]
        proposals.append(_proposal(value, written, dialect))
    return proposals


def batch_schema(dialect: Dialect) -> dict[str, Any]:
    """Return the JSON schema of an answer that holds several architectures."""
    return {
        "type": "object",
        "properties": {WRAPPER: {"type": "array", "items": dialect.schema()}},
        "required": [WRAPPER],
        "additionalProperties": False,
    }


def contains_objects(text: str) -> bool:
    """Tell whether there is anything to read in an answer."""
    return any(True for _ in _objects(text))


def _proposal(value: Any, text: str, dialect: Dialect) -> Proposal:
    try:
        return Proposal(dialect.decode(value), text[:MAX_TEXT])
    except InvalidArchitecture as error:
        return Proposal(InvalidArchitecture(str(error)[:MAX_TEXT]), text[:MAX_TEXT])
    except RecursionError:
        return Proposal(InvalidArchitecture("it is nested too deep"), text[:MAX_TEXT])


def _labels(schema: Mapping[str, Any]) -> set[str]:
    """List the keys of an architecture, in all the alternatives that its schema has."""
    alternatives = (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return {label for one in alternatives for label in one.get("properties", ())}


def _candidates(text: str, labels: set[str]) -> Iterator[tuple[Any, str]]:
    """Iterate over the parsed candidates and the text of each.

    A candidate is what has one of the `labels` of an architecture. Where nothing has, it is what
    the list of architectures holds or, without such a list, the whole object.
    """
    for value, written in _objects(text):
        wrappers = _outermost(value, lambda node: isinstance(node.get(WRAPPER), list))
        told = [item for node in wrappers for item in node[WRAPPER]] if wrappers else [value]
        for item in told:
            for candidate in _outermost(item, lambda node: not labels.isdisjoint(node)) or [item]:
                yield candidate, written if candidate is value else _dump(candidate)


def _outermost(value: Any, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """List the outermost objects in `value` that fit, in order."""
    found, waiting = [], [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and fits(node):
            found.append(node)
        elif isinstance(node, dict | list):
            inside = node.values() if isinstance(node, dict) else node
            waiting.extend(reversed(inside))
    return found


def _objects(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Iterate over the outermost JSON objects in `text`."""
    text, decoder = text[:MAX_READ], json.JSONDecoder()
    position = in_vain = 0
    while in_vain < MAX_IN_VAIN and (start := text.find("{", position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:  # also numbers of absurd length
            in_vain += ATTEMPT + _place_of(error, text) - start
            position = start + 1
            continue
        yield value, text[start:position]


def _place_of(error: Exception, text: str) -> int:
    """Tell how far a decoder read before it gave up."""
    if not isinstance(error, json.JSONDecodeError) or error.msg.startswith("Unterminated string"):
        return len(text)
    return error.pos


def _dump(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "(nested too deep to be shown)"
