"""Addresses of servers: what one must look like, and how it is reached."""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def url_problems(base_url: str, name: str) -> list[str]:
    """Say what is wrong with an address. It is written to files and messages: no secret in it."""
    url = urlsplit(base_url)
    if "@" in url.netloc:
        return [f"{name} must hold no user or password: a key belongs in the environment"]
    if classic := re.match(r"/openai/deployments/([\w.-]+)", url.path):
        return [
            f"{name} is a classic address of Azure, with a version for every request. Azure's "
            f"address for all versions is https://{url.netloc}/openai/v1/; the deployment is the "
            f"model: llm.model.model={classic[1]} llm.model.base_url=https://{url.netloc}/openai/v1/"
        ]
    if url.query:
        return [f"{name} must hold no query (?…): a key belongs in the environment"]
    if url.scheme not in ("http", "https") or not url.hostname:
        return [f"{name} must be like https://host/v1, got {base_url!r}"]
    if url.path.rstrip("/").endswith("/chat/completions"):
        return [f"{name} must end before /chat/completions, which is added to it"]
    return []


def proxy(url: str) -> str | None:
    """Return the environment's proxy for `url`. None can reach this machine's own servers."""
    address = urlsplit(url)
    if address.hostname in LOOPBACK or proxy_bypass(address.netloc):
        return None
    proxies = getproxies()
    found = proxies.get(address.scheme) or proxies.get("all")
    return f"http://{found}" if found and "://" not in found else found
