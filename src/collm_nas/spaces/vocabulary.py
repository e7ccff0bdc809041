"""How the genes of a space are spelled towards a language model.

A model may have read about a well-known space, so the names of its operations are a cue. Told
with opaque names it has only the search to learn from: the difference measures its memory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from collm_nas.core.architecture import Value

Label = int | float | str


@dataclass(frozen=True)
class Variable:
    """A decision repeated `count` times, e.g. the kernel sizes of 20 blocks, each 3, 5 or 7."""

    name: str
    options: tuple[Value, ...]
    count: int = 1


@dataclass(frozen=True)
class Word:
    """The spelling of one variable: its label, and one label for each option."""

    variable: Variable
    label: str
    labels: Mapping[Value, Label]

    def spell(self, value: Value) -> Label:
        """Return the label of an option."""
        return self.labels[value]

    def read(self, label: object) -> Value:
        """Return the option that `label` stands for; labels of another type do not match.

        One exception: `4` stands for `4.0`, which JSON writers shorten to it.

        Raises:
            KeyError: no option has this label.
        """
        for value, known in self.labels.items():
            is_shortened = type(known) is float and type(label) is int
            if (type(known) is type(label) or is_shortened) and known == label:
                return value
        raise KeyError(label)

    def told(self, order_seed: object = None) -> list[Label]:
        """List the labels in the order in which a model is told them; `None` keeps the space's."""
        labels = list(self.labels.values())
        if order_seed is not None:
            random.Random(f"order/{order_seed}/{self.variable.name}").shuffle(labels)
        return labels


Vocabulary = dict[str, Word]


def official(variables: Sequence[Variable]) -> Vocabulary:
    """Spell everything as the space does."""
    return {v.name: Word(v, v.name, {o: o for o in v.options}) for v in variables}


def codes(variables: Sequence[Variable]) -> Vocabulary:
    """Spell every option as one digit, its position: the fewest tokens for a small model."""
    return {
        v.name: Word(v, v.name, {option: str(i) for i, option in enumerate(v.options)})
        for v in variables
    }


def opaque(variables: Sequence[Variable], seed: object) -> Vocabulary:
    """Replace every name by a letter; which option gets which letter is drawn from `seed`."""
    vocabulary = {}
    for index, variable in enumerate(variables):
        letters = list(ascii_uppercase[: len(variable.options)])
        random.Random(f"opaque/{seed}/{variable.name}").shuffle(letters)
        pairs = zip(variable.options, letters, strict=True)
        labels: dict[Value, Label] = dict(sorted(pairs, key=lambda pair: pair[1]))
        vocabulary[variable.name] = Word(variable, f"x{index + 1}", labels)
    return vocabulary
