"""Whether a recipe fits a search space: asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from collm_nas.recipe.base import LARGEST, Phase, Recipe
from collm_nas.recipe.sampling import Sandwich
from collm_nas.searchspace.base import SearchSpace
from collm_nas.searchspace.mobilenet import MobileNet


def check(recipe: Recipe, space: SearchSpace) -> None:
    """Refuse a recipe that cannot train the supernet of `space`.

    Raises:
        ValueError: all the problems at once, each with its config key.
    """
    problems = [
        problem
        for i, phase in enumerate(recipe.phases)
        for problem in _problems(phase, space, f"recipe.phases[{i}]")
    ]
    problems += _wrong_sizes(recipe.resolutions, space)
    if problems:
        raise ValueError("\n".join(problems))


def _problems(phase: Phase, space: SearchSpace, key: str) -> list[str]:
    if phase.sampling is None:
        found = [
            f"{key}.sampling is not set: this recipe trains one network, not a supernet. Set a "
            "rule of collm_nas.recipe.sampling, or choose another recipe"
        ]
    else:
        found = phase.sampling.problems(space, f"{key}.sampling")
    if phase.teacher == LARGEST and not isinstance(phase.sampling, Sandwich):
        found.append(
            f"{key}.teacher: {LARGEST} needs a rule that draws the largest subnet first: "
            "collm_nas.recipe.sampling.Sandwich"
        )
    return found + _wrong_sorting(phase, space, key)


def _wrong_sorting(phase: Phase, space: SearchSpace, key: str) -> list[str]:
    if phase.sort_channels is None:
        return []
    if not isinstance(space, MobileNet):
        return [f"{key}.sort_channels must be null: blocks of {space.name} have one width each"]
    chosen, known = {*phase.sort_channels}, space.expansions
    if len(chosen) >= 2 and chosen <= {*known} and max(known) in chosen:
        return []
    return [
        f"{key}.sort_channels must be two or more of the expansions {list(known)}, {max(known)} "
        f"included, got {list(phase.sort_channels)}"
    ]


def _wrong_sizes(sizes: Sequence[int] | None, space: SearchSpace) -> list[str]:
    if sizes is None:
        return []
    if not sizes or min(sizes) < 8:
        return [f"recipe.resolutions must be 8 pixels or more, got {list(sizes)}"]
    known = space.image_sizes()
    if isinstance(space, MobileNet) or {*sizes} <= {*known}:
        return []
    return [
        f"recipe.resolutions: networks of {space.name} take images of {known[0]} pixels, got "
        f"{list(sizes)}"
    ]
