"""Whether a recipe fits a search space: asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from collm_nas.spaces.base import SearchSpace
from collm_nas.training.choices import wrong_choices
from collm_nas.training.recipe import LARGEST, Phase, Recipe
from collm_nas.training.reference_subnets import largest
from collm_nas.training.sampling import Sandwich


def check(recipe: Recipe, space: SearchSpace) -> None:
    """Refuse a recipe that cannot train the supernet of `space`.

    Raises:
        ValueError: all the problems at once, each with its config key.
    """
    problems = _made_for_another(recipe, space)
    for i, phase in enumerate(recipe.phases):
        problems += _problems(phase, space, f"recipe.phases[{i}]")
        problems += _poor_teacher(recipe, phase, space, f"recipe.phases[{i}]")
    problems += _wrong_sizes(recipe.resolutions, space)
    if problems:
        raise ValueError("\n".join(problems))


def _made_for_another(recipe: Recipe, space: SearchSpace) -> list[str]:
    if recipe.made_for is None or space.identity.startswith(recipe.made_for):
        return []
    return [
        f"this recipe is made for {recipe.made_for}, the space is {space.identity}: choose the "
        "one for it (recipe=…; docs/recipes.md says which is for what), or train with these "
        "numbers all the same: recipe.made_for=null"
    ]


def _poor_teacher(recipe: Recipe, phase: Phase, space: SearchSpace, key: str) -> list[str]:
    """Tell of a teacher, which is the largest subnet, that its phase does not train."""
    taught_by = next((p for p in recipe.phases if p.name == phase.teacher), None)
    if taught_by is None or taught_by.sampling is None:
        return []
    choices = taught_by.sampling.choices
    if wrong_choices(space, choices, key):
        return []  # told already
    needed, trained = (space.costs(largest(space, c))["params"] for c in ({}, choices))
    if trained >= needed:
        return []
    return [
        f"{key}.teacher: the teacher is the largest subnet of {space.name}, which phase "
        f"{taught_by.name} does not train: its sampling.choices leave out larger options of the "
        "space"
    ]


def _problems(phase: Phase, space: SearchSpace, key: str) -> list[str]:
    if phase.sampling is None:
        found = [
            f"{key}.sampling is not set: this recipe trains one network, not a supernet. Set a "
            "rule of collm_nas.training.sampling, or choose another recipe"
        ]
    else:
        found = phase.sampling.problems(space, f"{key}.sampling")
    if phase.teacher == LARGEST and not isinstance(phase.sampling, Sandwich):
        found.append(
            f"{key}.teacher: {LARGEST} needs a rule that draws the largest subnet first: "
            "collm_nas.training.sampling.Sandwich"
        )
    if phase.statistics_only:
        found.append(f"{key}.statistics_only: a supernet's statistics are none of its subnets'")
    if phase.prepare is not None:
        found += phase.prepare.problems(space, f"{key}.prepare")
    return found


def _wrong_sizes(sizes: Sequence[int] | None, space: SearchSpace) -> list[str]:
    if sizes is None:
        return []
    if not sizes or min(sizes) < 8:
        return [f"recipe.resolutions must be 8 pixels or more, got {list(sizes)}"]
    known = space.image_sizes()
    if space.takes_any_size:
        outside = [size for size in known if not min(sizes) <= size <= max(sizes)]
        if not outside:
            return []
        return [
            f"recipe.resolutions are {min(sizes)} to {max(sizes)} pixels, but the space searches "
            f"at {', '.join(map(str, outside))}, too (searchspace.resolutions): no subnet would "
            "be trained for that"
        ]
    if {*sizes} <= {*known}:
        return []
    return [
        f"recipe.resolutions: networks of {space.name} take images of {known[0]} pixels, got "
        f"{list(sizes)}"
    ]
