"""Every supernet of a conf/searchspace/*.yaml keeps its promises: a new one is found here."""

from __future__ import annotations

import random

import pytest
from torch import nn

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture
from collm_nas.spaces.autoformer.network import Attention, PatchGrid
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.supernet import Supernet
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

    def count_as_two(self, a: Architecture, b: Architecture) -> bool:
        """Let all cells of NAS-Bench-201 be: every spelling was trained, and has a number."""
        return isinstance(self.space, NASBench201)

    def hidden_macs(self, network: nn.Module) -> int:
        """Count those of fused attention with relative positions.

        By definition there are four products of all tokens with all tokens: queries with keys and
        with relative positions, and the same for values. What is done instead, and counted, are
        products with the positions on the grid.
        """
        attentions = [m for m in network.modules() if isinstance(m, Attention)]
        grids = [m for m in network.modules() if isinstance(m, PatchGrid)]
        tokens, positions = grids[0].membership_TG.shape if grids else (0, 0)
        width = sum(attention.proj.in_features for attention in attentions)
        return width * tokens * (4 * tokens - 2 * positions)
