"""CoLLM-NAS: neural architecture search by two collaborating language models.

What stands here is for notebooks and programs (docs/notebook.md). It is imported when it is asked
for: a search without networks needs no torch.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collm_nas.core.problem import Limit, Problem
    from collm_nas.core.search import Budget
    from collm_nas.export.package import Subnet
    from collm_nas.notebook import search

__all__ = ["Budget", "Limit", "Problem", "load_subnet", "search"]

_HOMES = {
    "Budget": "core.search",
    "Limit": "core.problem",
    "Problem": "core.problem",
    "search": "notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"collm_nas.{_HOMES[name]}"), name)


def load_subnet(folder: str | PathLike[str], spaces: Collection[str] = ()) -> Subnet:
    """Read a subnet that `python evaluate.py mode=export` wrote, ready to classify on the CPU.

    Args:
        spaces: packages of your own whose search spaces may be built, e.g. `["my_nas"]`. Files
            name classes, and those of other packages than this one and these are refused.

    Raises:
        WrongPackage: a file is missing, damaged, or does not fit the other.
    """
    from collm_nas.export import package  # torch, which most of this package does without

    return package.load_subnet(Path(folder), spaces)
