"""A part of a search space: fewer options for some variables, as phases of a training have."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from collm_nas.core.architecture import Architecture, Value
from collm_nas.spaces.base import SearchSpace

Choices = Mapping[str, Sequence[Value]]  # options by variable; those not named keep all of theirs


def narrowed(space: SearchSpace, choices: Choices) -> dict[str, tuple[Value, ...]]:
    """Return the options of every variable, in the order of the space."""
    return {
        v.name: tuple(o for o in v.options if o in choices.get(v.name, v.options))
        for v in space.variables
    }


def draw_uniform(space: SearchSpace, choices: Choices, rng: random.Random) -> Architecture:
    """Draw every gene uniformly from its options."""
    options = narrowed(space, choices)
    return space.build({v.name: rng.choices(options[v.name], k=v.count) for v in space.variables})


def wrong_choices(space: SearchSpace, choices: Choices, key: str) -> list[str]:
    """Say which of `choices` the space does not have; empty if it has them all."""
    known = {v.name: v.options for v in space.variables}
    return [
        f"{key}.{name} is no variable of {space.name}: it has {', '.join(known)}"
        if name not in known
        else f"{key}.{name} must be some of {list(known[name])}, got {list(options)}"
        for name, options in choices.items()
        if name not in known or not options or not {*options} <= {*known[name]}
    ]
