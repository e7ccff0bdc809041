"""An architecture: the value that every part of the pipeline passes around."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Value = int | float | str


class InvalidArchitecture(ValueError):
    """A candidate that is not a point of the space, with everything that is wrong with it.

    The message joins all the problems; the Navigator may be shown it, and the archive keeps it.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class NothingFeasible(ValueError):
    """No architecture within the limits was found. The message says what the space has instead."""


@dataclass(frozen=True)
class Architecture:
    """A point of a search space: one tuple of values per variable, e.g. `ks=(3, 5, 3)`.

    A space hands out only canonical architectures, so equality means "the same network".
    """

    genes: tuple[tuple[str, tuple[Value, ...]], ...]

    @classmethod
    def of(cls, genes: Mapping[str, Iterable[Value]]) -> Architecture:
        """Build from `{variable: values}`; the order of the variables is part of the value."""
        return cls(tuple((name, tuple(values)) for name, values in genes.items()))

    def __getitem__(self, name: str) -> tuple[Value, ...]:
        for gene, values in self.genes:
            if gene == name:
                return values
        raise KeyError(name)

    def to_json(self) -> dict[str, list[Value]]:
        """Return what archives and caches store; `Architecture.of` is the inverse."""
        return {name: list(values) for name, values in self.genes}

    def __repr__(self) -> str:
        return f"Architecture({self})"

    def __str__(self) -> str:
        return json.dumps(dict(self.genes), separators=(",", ":"))
