"""Unpickling of files that others made, without letting them run anything.

A pickle is a program: it may name any function and call it. Benchmark tables and small images
come as pickles, so they are read by an unpickler that knows a short list of names and refuses
every other.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

Globals = Mapping[tuple[str, str], Any]  # (module, name) in the file -> what stands in for it

# What damaged bytes make an unpickler raise; the documentation of pickle names no closed list.
DAMAGE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Forbidden(pickle.UnpicklingError):
    """The file names something that is not on the list."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], known: Globals, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise _Forbidden(f"{module}.{name}")
        return self.known[module, name]


def load(
    path: Path,
    opener: Callable[[Path], IO[bytes]],
    known: Globals,
    unusable: type[ValueError],
    encoding: str = "ASCII",
) -> Any:
    """Unpickle the file at `path`, of which only the names in `known` are resolved.

    Args:
        unusable: the error to raise, with a message for the user.
        encoding: of the strings that Python 2 wrote; `latin1` where they are arrays.

    Raises:
        unusable: the file cannot be read, is damaged, or names anything else.
    """
    try:
        with opener(path) as file:
            return _Unpickler(file, known, encoding).load()
    except _Forbidden as error:
        raise unusable(
            f"{path} was refused: it is not plain data but asks for {error}, which could run "
            f"code on this machine. Get the file from its official source."
        ) from None
    except unusable:
        raise
    except OSError as error:
        raise unusable(f"{path} cannot be read: {error}. Is it whole? Fetch it again.") from error
    except MemoryError as error:
        raise unusable(f"{path} does not fit into memory, or is damaged") from error
    except DAMAGE as error:
        raise unusable(
            f"{path} is damaged, cut short or of another kind "
            f"({type(error).__name__}: {error}). Fetch it again."
        ) from error
