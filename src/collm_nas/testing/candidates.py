"""Candidates to try a search space with: random ones, and broken ones."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.base import SearchSpace

UNHEALTHY = [HealthCheck.differing_executors, HealthCheck.too_slow]  # inherited tests are meant
many = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=UNHEALTHY,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # explanations are long and say little
)
# Of what runs a network; shrinking would run large ones for minutes.
few = settings(many, max_examples=8, phases=[Phase.explicit, Phase.generate])


def architectures(space: SearchSpace) -> st.SearchStrategy[Architecture]:
    """Draw architectures of `space`; simple ones take the first option of every variable."""
    genes = {
        v.name: st.lists(st.sampled_from(v.options), min_size=v.count, max_size=v.count)
        for v in space.variables
    }
    return st.fixed_dictionaries(genes).map(space.build)


def similar(space: SearchSpace, arch: Architecture) -> list[Architecture]:
    """List the neighbours of `arch`, and what becomes of it when two of its places are swapped.

    Places are swapped in one variable, and in all variables of equal length at once.
    """
    genes = space.full_genes(arch, random.Random(str(arch)))
    lists = [v for v in space.variables if v.count > 1]
    together = [[w.name for w in lists if w.count == v.count] for v in lists]
    found = dict.fromkeys(space.neighbours(arch))
    for names in [*([v.name] for v in lists), *together]:
        for i, j in combinations(range(len(genes[names[0]])), 2):
            places = {i: j, j: i}
            swapped = {n: [genes[n][places.get(k, k)] for k in range(len(genes[n]))] for n in names}
            found[space.build({**genes, **swapped})] = None
    found.pop(arch, None)
    return list(found)


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
