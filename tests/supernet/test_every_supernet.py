"""Every supernet of a conf/searchspace/*.yaml keeps its promises: a new one is found here."""

from __future__ import annotations

import random

import pytest

from collm_nas.run import build
from collm_nas.searchspace.base import SearchSpace
from collm_nas.supernet.base import Supernet
from collm_nas.testing.conformance import SupernetConformance
from collm_nas.testing.networks import untrained
from tests.conftest import load, options

QUICK = 30e6  # multiply-adds of a network that runs in milliseconds


def spaces() -> list[object]:
    """Build all spaces that have a supernet; those with large networks are marked slow."""
    params = []
    for option in options("searchspace"):
        space: SearchSpace = build(load("search", f"searchspace={option}").searchspace)
        if space.supernet:
            is_slow = space.costs(space.sample(random.Random(0)))["macs"] > QUICK
            params.append(pytest.param(space, id=option, marks=[pytest.mark.slow] * is_slow))
    return params


class TestEverySupernet(SupernetConformance):
    @pytest.fixture(scope="class", params=spaces())
    @classmethod
    def supernet(cls, request: pytest.FixtureRequest) -> Supernet:
        cls.space = request.param
        return untrained(request.param)
