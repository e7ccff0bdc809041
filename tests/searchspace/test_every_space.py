"""Every conf/searchspace/*.yaml keeps the promises of a search space: a new one is found here."""

from __future__ import annotations

import pytest

from collm_nas.run import build
from collm_nas.testing.conformance import SearchSpaceConformance
from tests.configs import config, options


class TestEverySpace(SearchSpaceConformance):
    @pytest.fixture(scope="class", autouse=True, params=options("searchspace"))
    @classmethod
    def space_of_the_config(cls, request: pytest.FixtureRequest) -> None:
        cls.space = build(config("searchspace", request.param))
