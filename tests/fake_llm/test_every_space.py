"""A persona answers in the schema of every space."""

import json

import pytest

from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.llm.base import Message
from collm_nas.prompting.dialect import dialect_of
from collm_nas.prompting.reading import batch_schema
from collm_nas.testing.schema import matches
from tests.conftest import options
from tests.training.recipes import searchspace

MESSAGES = [Message("user", "Write 3 architectures.")]


@pytest.mark.parametrize("name", options("searchspace"))
def test_many_or_one_have_the_schema_that_is_asked_for(name):
    space = searchspace(name)
    chat = ScriptedChat(space)
    many = json.loads(
        chat.complete(MESSAGES, purpose="g/0", schema=batch_schema(dialect_of(space))).text
    )
    assert len({space.decode(item) for item in many["architectures"]}) == 3
    assert all(matches(space.schema(), item) for item in many["architectures"])
    one = json.loads(chat.complete(MESSAGES, purpose="g/0/0", schema=space.schema()).text)
    assert matches(space.schema(), one)
    assert space.decode(one)
