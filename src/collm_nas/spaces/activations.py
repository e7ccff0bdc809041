"""How much memory the activations of a network need, counted without running it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

BYTES_PER_VALUE = 4  # single precision


def largest_pair(values: Iterable[int]) -> int:
    """Return the most that two neighbours in a chain of layers hold together.

    `values` counts the numbers in every tensor of the chain, from its input to its output: a layer
    needs its input and its output at the same time.
    """
    return max(before + after for before, after in pairwise(values))
