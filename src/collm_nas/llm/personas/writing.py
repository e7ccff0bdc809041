"""How personas put architectures into an answer, and whether an architecture fits a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from collm_nas.llm.base import JSON
from collm_nas.llm.personas.base import Question

WRAPPER = "architectures"


def write(question: Question, architectures: Sequence[str]) -> str:
    """Put architectures, written as JSON or what should be, into one answer.

    Where one is asked for it stands alone, else they are a list under the key that the schema
    names; prose stands around them unless only JSON may be written.
    """
    wrapper = WRAPPER if question.schema is None else _wrapper(question.schema)
    if wrapper is None or (question.schema is None and question.count == 1):
        block = architectures[0] if architectures else "{}"
    else:
        block = f"{{{json.dumps(wrapper)}: [\n" + ",\n".join(architectures) + "\n]}"
    if question.json_only:
        return block
    return f"These follow the strategy:\n\n```json\n{block}\n```\n"


def item_schema(schema: JSON | None) -> JSON:
    """Return what the schema of an answer demands of one architecture."""
    if schema is None:
        return {}
    wrapper = _wrapper(schema)
    return schema if wrapper is None else schema["properties"][wrapper].get("items", {})


def fits(value: Any, schema: JSON) -> bool:
    """Tell whether `value` has the schema, as far as the schemas of search spaces go."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(value, choice) for choice in schema["anyOf"]):
        return False
    match value:
        case dict():
            inner = schema.get("properties", {})
            extra = set(value) - set(inner)
            whole = set(schema.get("required", ())) <= set(value)
            closed = schema.get("additionalProperties", True) or not extra
            return whole and closed and all(fits(v, inner.get(k, {})) for k, v in value.items())
        case list():
            low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
            items = schema.get("items", {})
            return low <= len(value) <= high and all(fits(v, items) for v in value)
        case str():
            return re.search(schema.get("pattern", ""), value) is not None
    return True


def _wrapper(schema: JSON) -> str | None:
    """Name the property of an answer that lists objects; None: the answer is one architecture."""
    for name, inner in schema.get("properties", {}).items():
        items = inner.get("items", {})
        if inner.get("type") == "array" and (items.get("type") == "object" or "anyOf" in items):
            return str(name)
    return None
