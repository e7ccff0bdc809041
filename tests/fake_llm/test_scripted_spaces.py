"""A persona answers in the schema of every space."""

import random

import pytest

from collm_nas.llm.personas.writing import fits, item_schema
from tests.conftest import options
from tests.training.recipes import searchspace


@pytest.mark.parametrize("name", options("searchspace"))
def test_what_a_space_encodes_has_the_schema_of_its_answers(name):

    space = searchspace(name)
    answer = {"type": "object", "properties": {"list": {"type": "array", "items": space.schema()}}}
    demanded = item_schema(answer)
    told = space.encode(space.sample(random.Random(0)))
    if isinstance(told, dict):
        assert demanded == space.schema()
        assert fits(told, demanded)
        assert not fits({**told, "stranger": 1}, demanded)
