"""Where files are kept that can be had again: weights, listings, images, measurements."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Return $COLLM_CACHE, or the user's cache; bring what earlier versions kept elsewhere."""
    if own := os.environ.get("COLLM_CACHE"):
        root = Path(own).expanduser()
        former = {root / "collm-nas" / "latency": root / "latency"}
    else:
        root = user_cache_path("collm-nas", appauthor=False, opinion=False)
        everyone = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        torch_hub = Path(os.environ.get("TORCH_HOME", f"{everyone}/torch")) / "hub"
        former = {parent.expanduser() / "collm-nas": root for parent in (torch_hub, Path(everyone))}
    for old, new in former.items():
        if _bring(old, new):
            print(f"What earlier versions cached in {old} is now in {new}", file=sys.stderr)
    return root


def _bring(old: Path, new: Path) -> bool:
    """Move what is in `old` into `new`; what has a namesake there stays, so that none is lost.

    On another disk, or in a folder that is not ours to change, it stays, too, and is linked to.
    Processes may do this at the same time: none returns before all is there.
    """
    if not old.is_dir() or (new.exists() and old.samefile(new)):
        return False
    brought = False
    with suppress(OSError):  # who writes there will say what is wrong, and about which file
        new.mkdir(parents=True, exist_ok=True)
        for entry in [*old.iterdir()]:
            target = new / entry.name
            if target.exists():
                brought |= entry.is_dir() and _bring(entry, target)
                continue
            try:
                entry.rename(target)
            except FileNotFoundError:  # another process was faster
                continue
            except OSError:
                target.symlink_to(entry)
            brought = True
        old.rmdir()
    return brought
