"""All settings are checked before anything is spent, and nonsense is never taken."""

from __future__ import annotations

import pytest

from collm_nas.cli.settings import SearchSettings, SupernetSettings, check
from collm_nas.config.run import UserError
from tests.conftest import load

NAMES = [f"choices.{group}=x" for group in ("searchspace", "strategy", "llm", "recipe", "logger")]


def told(command: str, schema: type, *overrides: str) -> list[str]:
    """Return what the check of a command says, line by line."""
    with pytest.raises(UserError) as error:
        check(load(command, *overrides, *NAMES), schema)
    return str(error.value).splitlines()


def test_a_value_that_is_used_elsewhere_is_told_where_it_is_set():
    keep = told("train_supernet", SupernetSettings, "searchspace=shufflenet", "recipe.keep=most")
    assert keep == ["recipe.keep must be 'best' or 'last', got 'most'"]
    assert told("train_supernet", SupernetSettings, "keep=most") == [
        "keep must be 'best' or 'last', got 'most'"
    ]


def test_all_problems_are_told_at_once():
    wrong = ["searchspace=mobilenet", "searchspace.num_classes=0", "workers=abc", "seed=-1"]
    lines = told("search", SearchSettings, *wrong, "llm=scripted", "data.root=x")
    assert {line.split()[0] for line in lines} == {"searchspace.num_classes", "workers", "seed"}
