"""Candidates to try a search space with: random ones, and broken ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from collm_nas.architecture import Architecture
from collm_nas.searchspace.base import SearchSpace


def architectures(space: SearchSpace) -> st.SearchStrategy[Architecture]:
    """Draw architectures of `space`; simple ones take the first option of every variable."""
    genes = {
        v.name: st.lists(st.sampled_from(v.options), min_size=v.count, max_size=v.count)
        for v in space.variables
    }
    return st.fixed_dictionaries(genes).map(space.build)


def leaves_of(answer: Any) -> list[tuple[Any, Any]]:
    """List the places of all values in parsed JSON, as (container, key)."""
    places = answer.items() if isinstance(answer, dict) else enumerate(answer)
    leaves: list[tuple[Any, Any]] = []
    for place, value in places:
        nested = isinstance(value, dict | list)
        leaves += leaves_of(value) if nested else [(answer, place)]
    return leaves


def impostors_of(value: Any) -> list[Any]:
    """List what resembles `value` and is not it."""
    impostors: list[Any] = [None, [value], "nonsense", 10**6, f" {value}"]
    if isinstance(value, int):
        impostors += [str(value), float(value), value == 1]
    return impostors
