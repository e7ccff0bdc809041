"""What a call costs in US dollars, by the price list that the package `genai-prices` ships.

The list is a snapshot: nothing is fetched, so a call has the same price today and in a year, as
long as the same version is installed; the version is part of every price's source. An unknown
price is unknown (None), never zero. The list also knows how long a model's context is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collm_nas.llm.base import Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".localhost")


def price(model: str, base_url: str, usage: Usage) -> tuple[float | None, str]:
    """Return what `usage` costs at the server `base_url` (None: unknown), and by which source.

    Cached input tokens are charged at their own rate; reasoning tokens are output tokens.
    """
    if is_private(base_url):
        return 0.0, "own server"
    found = _looked_up(model, base_url, usage)
    return (None if found is None else float(found.total_price)), source()


def context_length(model: str, base_url: str) -> int | None:
    """Return how many tokens a model reads at once, prompt and answer; None: that is not known."""
    found = None if is_private(base_url) else _looked_up(model, base_url, Usage())
    return None if found is None else found.model.context_window


def source() -> str:
    """Name the list, with the version that dates it."""
    return f"genai-prices {version('genai-prices')}"


def is_private(base_url: str) -> bool:
    """Tell whether a server is this machine or in its own network, and so charges nothing."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_SUFFIXES)
    return address.is_private or address.is_loopback


def _looked_up(model: str, base_url: str, usage: Usage) -> PriceCalculation | None:
    # Imported here: the list takes 0.2 s to load, and replaying or resuming needs no price.
    from genai_prices import Usage as Priced
    from genai_prices import calc_price

    tokens = Priced(
        input_tokens=usage.input, output_tokens=usage.output, cache_read_tokens=usage.cached
    )
    now = datetime.now(tz=UTC)  # some providers have prices by the hour
    try:
        return calc_price(tokens, model, provider_api_url=base_url, genai_request_timestamp=now)
    except (LookupError, ValueError):  # not in the list, or token counts that cannot be
        return None
