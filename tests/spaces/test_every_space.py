"""Every conf/searchspace/*.yaml keeps the promises of a search space: a new one is found here."""

from __future__ import annotations

import pytest

from collm_nas.config.run import build
from collm_nas.testing.conformance import SearchSpaceConformance
from tests.conftest import load, options


class TestEverySpace(SearchSpaceConformance):
    @pytest.fixture(scope="class", autouse=True, params=options("searchspace"))
    @classmethod
    def space_of_the_config(cls, request: pytest.FixtureRequest) -> None:
        cls.space = build(load("search", f"searchspace={request.param}").searchspace)
