"""Whether this is a checkout, or pip installed it: where conf/ is, and how commands are typed."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parents[1]  # if this is one
INSTALLED = {
    "train_supernet.py": "collm-train",
    "search.py": "collm-search",
    "evaluate.py": "collm-evaluate",
    "compare.py": "collm-compare",
}


def conf_dir() -> Path:
    """Return the folder of all options: a wheel carries a copy of that of the checkout."""
    carried = PACKAGE / "conf"
    return carried if carried.is_dir() else CHECKOUT / "conf"


def typed(script: str) -> str:
    """Return how a command is typed: `python search.py`, or `collm-search` where it began so."""
    is_checkout = (CHECKOUT / "search.py").exists()
    if script in INSTALLED and (Path(sys.argv[0]).name.startswith("collm-") or not is_checkout):
        return INSTALLED[script]
    return f"python {script}"
