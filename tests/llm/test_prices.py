"""Prices against the providers' published lists, as of the models' releases."""

from __future__ import annotations

import socket
from importlib.metadata import version
from typing import Any

import pytest

from collm_nas.llm.base import Usage
from collm_nas.llm.prices import is_private, price

OPENAI = "https://api.openai.com/v1"
MILLION = 10**6


@pytest.mark.parametrize(
    ("model", "url", "usage", "usd"),
    [
        # https://openai.com/index/gpt-4-1: 2.00 in, 0.50 cached, 8.00 out for a million tokens
        ("gpt-4.1", OPENAI, Usage(MILLION, MILLION), 10.0),
        ("gpt-4.1-2025-04-14", OPENAI, Usage(MILLION, 0, cached=MILLION), 0.5),
        ("gpt-4.1", OPENAI, Usage(MILLION, 0, cached=MILLION // 2), 1.25),
        # reasoning is part of the output: not charged twice. https://openai.com/index/gpt-5
        ("gpt-5", OPENAI, Usage(0, MILLION, reasoning=900_000), 10.0),
        # https://www.anthropic.com/news/claude-4: 3 in, 15 out
        ("claude-sonnet-4-20250514", "https://api.anthropic.com/v1/", Usage(1000, 1000), 0.018),
        ("o4-mini", OPENAI, Usage(), 0.0),
    ],
)
def test_known_prices(model: str, url: str, usage: Usage, usd: float) -> None:
    cost, source = price(model, url, usage)
    assert cost == pytest.approx(usd)
    assert source == f"genai-prices {version('genai-prices')}"


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("a-model-nobody-knows", OPENAI),
        ("gpt-4.1", "https://api.a-provider-nobody-knows.com/v1"),
        ("", OPENAI),
    ],
)
def test_an_unknown_price_is_unknown_and_not_zero(model: str, url: str) -> None:
    assert price(model, url, Usage(1000, 1000))[0] is None


def test_token_counts_that_cannot_be_have_no_price() -> None:
    assert price("gpt-4.1", OPENAI, Usage(10, 0, cached=20))[0] is None


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.168.1.7:8000/v1", True),
        ("http://gpu-node-17:8000/v1", True),
        ("http://llm.cluster.internal/v1", True),
        ("https://8.8.8.8/v1", False),
        (OPENAI, False),
    ],
)
def test_own_servers_charge_nothing(url: str, private: bool) -> None:
    assert is_private(url) is private
    if private:
        assert price("gpt-4.1", url, Usage(MILLION, MILLION)) == (0.0, "own server")


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a price opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert price("o3", OPENAI, Usage(1000, 1000))[0]
