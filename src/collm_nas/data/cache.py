"""Where files are kept that can be had again: released weights, listings, decoded images."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return $COLLM_CACHE, or a folder of the cache of torch.hub (without importing torch)."""
    if own := os.environ.get("COLLM_CACHE"):
        return Path(own).expanduser()
    everyone = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torch_home = os.environ.get("TORCH_HOME", f"{everyone}/torch")
    return Path(torch_home).expanduser() / "hub" / "collm-nas"
