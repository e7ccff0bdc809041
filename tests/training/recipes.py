"""Recipes and spaces as the commands build them."""

from typing import Any

from collm_nas.config.run import build
from collm_nas.spaces.base import SearchSpace
from collm_nas.training.recipe import Recipe
from tests.conftest import load


def recipe(name: str, *overrides: str) -> Recipe:
    """Build a recipe from its config."""
    built: Recipe = build(load("search", f"recipe={name}", *overrides).recipe)
    return built


def searchspace(name: str, *overrides: str) -> SearchSpace:
    """Build a space from its config."""
    cfg: Any = load("search", f"searchspace={name}", "strategy=random", *overrides)
    built: SearchSpace = build(cfg.searchspace)
    return built
