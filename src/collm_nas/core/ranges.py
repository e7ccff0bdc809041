"""The ranges that arguments of constructors have: the check of settings reads them from there.

An argument that comes from a config says what it may be, e.g. `population: Count`. For a range of
its own: `Annotated[float, Gt(0), Le(90)]`; for names: `Literal["paper", "brief"]`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, AllowInfNan

MANY = 1_000_000  # more at a time is a slip of the keyboard, and would fill the memory


def one_of(names: Collection[str]) -> AfterValidator:
    """Say that a text is one of `names`, where these are the keys of a table in the code."""

    def known(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be {' or '.join(map(repr, names))}, got {text!r}")
        return text

    return AfterValidator(known)


def _printable(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError(f"must be text without control characters, got {text!r}")
    return text


Count = Annotated[int, Ge(1), Le(MANY)]
CountOrZero = Annotated[int, Ge(0), Le(MANY)]
Side = Annotated[int, Ge(1), Le(10_000)]  # of an image, in pixels
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Text = Annotated[str, MinLen(1), AfterValidator(_printable)]
Workers = Annotated[int, Ge(1), Le(1024)]  # processes, threads or cores
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
NotNegative = Annotated[float, Ge(0)]
# any number is finite unless it says otherwise; this comparison fails for nan
MaybeInfinite = Annotated[float, AllowInfNan(True), Ge(0)]
