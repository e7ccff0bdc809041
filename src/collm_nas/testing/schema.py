"""Just enough of JSON Schema to check that a space's schema admits what the space writes.

Constrained decoding makes a model obey the schema to the letter, so a schema that is narrower than
the space hides a part of it. Only the keywords that spaces use are known; others are an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
}
KEYWORDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": lambda expected, value: isinstance(value, TYPES[expected]),
    "enum": lambda allowed, value: value in allowed,
    "const": lambda expected, value: value == expected,
    "pattern": lambda pattern, value: re.search(pattern, value) is not None,
    "required": lambda names, value: all(name in value for name in names),
    "properties": lambda parts, value: all(
        matches(part, value[name]) for name, part in parts.items() if name in value
    ),
    "items": lambda part, value: all(matches(part, item) for item in value),
    "prefixItems": lambda parts, value: all(map(matches, parts, value)),
    "minItems": lambda least, value: len(value) >= least,
    "maxItems": lambda most, value: len(value) <= most,
    "minimum": lambda least, value: value >= least,
    "maximum": lambda most, value: value <= most,
    "anyOf": lambda parts, value: any(matches(part, value) for part in parts),
    "description": lambda text, value: True,
}


def matches(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether `value` obeys `schema`.

    Raises:
        KeyError: the schema uses a keyword that is not known here.
    """
    rules = dict(schema)
    if rules.pop("additionalProperties", True) is False and not {*value} <= {*rules["properties"]}:
        return False
    return all(KEYWORDS[keyword](rule, value) for keyword, rule in rules.items())
