"""CoLLM-NAS: neural architecture search by two collaborating language models."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collm_nas.export.package import Subnet


def load_subnet(folder: str | PathLike[str]) -> Subnet:
    """Read a subnet that `python evaluate.py mode=export` wrote, ready to classify on the CPU.

    Raises:
        WrongPackage: a file is missing, damaged, or does not fit the other.
    """
    from collm_nas.export import package  # torch, which most of this package does without

    return package.load_subnet(Path(folder))
