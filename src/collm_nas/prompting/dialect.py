"""In which words a search space is put to a language model, and read back.

A model may have read about a well-known space, so the names of its operations are a cue. Told
with opaque names it has only the search to learn from: the difference measures its memory.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from copy import copy
from importlib import import_module
from importlib.util import find_spec
from string import ascii_uppercase
from typing import Any, Literal, Self, get_args

from collm_nas.core.architecture import Architecture, Value
from collm_nas.spaces import format as as_json
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.format import Label, Variable, Word, Words

Names = Literal["official", "short", "opaque"]


class Dialect:
    """The official names of a space in its own format, or letters in lists.

    A space with forms of its own beside these has a subclass, see `dialect_of`.

    Args:
        names: `official`, or `opaque` for letters; `short` are the official ones, too.
        order_seed: permutes the order in which the options of each variable are told (and draws
            the letters of opaque names); `None` keeps the space's own order.

    Raises:
        ValueError: there are no such names.
    """

    def __init__(
        self, space: SearchSpace, names: Names = "official", order_seed: object = None
    ) -> None:
        if names not in get_args(Names):
            raise ValueError(
                f"prompting.names must be one of {', '.join(get_args(Names))}, got {names!r}"
            )
        self.space = space
        self.names = names
        self.order_seed = order_seed
        self.words = self._words()

    @property
    def task(self) -> str:
        """Name what the networks are for."""
        return self.space.task

    def told(self, word: Word) -> list[Label]:
        """List the labels of a variable in the order in which they are told."""
        labels = list(word.labels.values())
        if self.order_seed is not None:
            random.Random(f"order/{self.order_seed}/{word.variable.name}").shuffle(labels)
        return labels

    def reordered(self, order_seed: object) -> Self:
        """Return the same words in another order.

        What one order wrote, that one alone can read.
        """
        other = copy(self)
        other.order_seed = order_seed
        return other

    def encode(self, arch: Architecture) -> Any:
        """Write `arch` as the JSON that a model reads and writes; the inverse of `decode`."""
        if self.names != "opaque":
            return self.space.encode(arch)
        genes = self.space.full_genes(arch, random.Random(str(arch)))
        return as_json.write(self.words, genes)

    def decode(self, answer: Any) -> Architecture:
        """Check untrusted parsed JSON and turn it into an architecture. No value is changed.

        Raises:
            InvalidArchitecture: all the problems at once, each with its place and what is allowed.
        """
        if self.names != "opaque":
            return self.space.decode(answer)
        return self.space.build(as_json.read(self.words, answer))

    def schema(self, exclude: Iterable[Architecture] = ()) -> dict[str, Any]:
        """Return the JSON schema of one encoded architecture, for constrained decoding.

        Dialects that write an architecture as one string can forbid those in `exclude`, too.
        """
        return as_json.schema(self.words) if self.names == "opaque" else self.space.schema()

    def _words(self) -> Words:
        if self.names == "opaque":
            return opaque(self.space.variables, self.order_seed)
        return as_json.spell(self.space.variables)


def dialect_of(space: SearchSpace, names: Names = "official", order_seed: object = None) -> Dialect:
    """Return the dialect of a space: that of its package, where there is one, or a plain one.

    A space that is told in forms of its own has a module `dialect` beside its own, with a class
    `SpaceDialect`.
    """
    for kind in type(space).__mro__:
        module = f"{kind.__module__.rpartition('.')[0]}.dialect"
        if not module.startswith(".") and find_spec(module):
            special: type[Dialect] = import_module(module).SpaceDialect
            return special(space, names, order_seed)
    return Dialect(space, names, order_seed)


def opaque(variables: Sequence[Variable], seed: object) -> Words:
    """Replace every name by a letter; which option gets which letter is drawn from `seed`."""
    words = {}
    for index, variable in enumerate(variables):
        letters = list(ascii_uppercase[: len(variable.options)])
        random.Random(f"opaque/{seed}/{variable.name}").shuffle(letters)
        pairs = zip(variable.options, letters, strict=True)
        labels: dict[Value, Label] = dict(sorted(pairs, key=lambda pair: pair[1]))
        words[variable.name] = Word(variable, f"x{index + 1}", labels)
    return words
