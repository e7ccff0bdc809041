"""The ranges that arguments of constructors have: the check of settings reads them from there.

An argument that comes from a config says what it may be, e.g. `population: Count`. For a range of
its own: `Annotated[float, Gt(0), Le(90)]`; for names: `Literal["paper", "brief"]`.
"""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AllowInfNan

MANY = 1_000_000  # more at a time is a slip of the keyboard, and would fill the memory

Count = Annotated[int, Ge(1), Le(MANY)]
CountOrZero = Annotated[int, Ge(0), Le(MANY)]
Side = Annotated[int, Ge(1), Le(10_000)]  # of an image, in pixels
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Text = Annotated[str, MinLen(1)]
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
# any number is finite unless it says otherwise; this comparison fails for nan
MaybeInfinite = Annotated[float, AllowInfNan(True), Gt(-math.inf)]
