"""The checker of JSON schemas, against cases that are written out."""

from __future__ import annotations

from typing import Any

import pytest

from collm_nas.testing.schema import matches

LIST = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}
OBJECT = {
    "type": "object",
    "properties": {"ops": LIST},
    "required": ["ops"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "verdict"),
    [
        (LIST, [1, 2], True),
        (LIST, [1, 3], False),
        (LIST, [1], False),
        (LIST, [1, 2, 1], False),
        (LIST, "12", False),
        (OBJECT, {"ops": [2, 2]}, True),
        (OBJECT, {"ops": [2, 2], "more": 1}, False),
        (OBJECT, {}, False),
        (OBJECT, {"ops": [0, 2]}, False),
        ({"type": "string", "pattern": "^[01]{3}$"}, "010", True),
        ({"type": "string", "pattern": "^[01]{3}$"}, "0102", False),
        ({"anyOf": [{"const": 1}, {"type": "string"}]}, "x", True),
        ({"anyOf": [{"const": 1}, {"type": "string"}]}, 2, False),
        ({"type": "integer", "minimum": 1, "maximum": 3}, 4, False),
    ],
)
def test_matches(schema: dict[str, Any], value: object, verdict: bool) -> None:
    assert matches(schema, value) is verdict


def test_unknown_keywords_are_not_passed_over() -> None:
    with pytest.raises(KeyError, match="multipleOf"):
        matches({"multipleOf": 3}, 3)
