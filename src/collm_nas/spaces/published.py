"""Architectures that were published: what `arch=NAME` means, and what results are compared with.

Every space lists its own in `published.py` of its package. `collm_…` are those that CoLLM-NAS
prints (https://arxiv.org/abs/2509.26037, table 8), the others those of the spaces' authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Published:
    """A published architecture.

    Args:
        written: what `SearchSpace.decode` reads under official names.
        searchspace: the option of the config group whose space has it, with
        settings: if these arguments are others than the option's own.
        finetuned: its published accuracy is that of weights of its own, not of a supernet's.
    """

    written: Any
    searchspace: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    finetuned: bool = False

    @property
    def words(self) -> str:
        """Write what chooses the space on a command line."""
        settings = [f"searchspace.{name}={value}" for name, value in self.settings.items()]
        return " ".join([f"searchspace={self.searchspace}", *settings])


def all_published() -> dict[str, Published]:
    """Return the nets of all packages of this folder, to tell where a name is at home."""
    found: dict[str, Published] = {}
    for path in sorted(Path(__file__).parent.glob("*/published.py")):
        found |= import_module(f"{__package__}.{path.parent.name}.published").PUBLISHED
    return found
