"""Numbers that seed a random draw: functions of what is drawn, and of nothing that happened."""

from __future__ import annotations

import hashlib


def key(*parts: object) -> int:
    """Return a seed below 2^63 for what `parts` name, e.g. `key(seed, "image", position)`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
