"""How architectures are written as JSON: a list of values for each variable, by its name.

Spaces write their own names (`spell`); whoever wants others gives other labels for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from collm_nas.core.architecture import InvalidArchitecture, Value

Label = int | float | str
Genes = dict[str, list[Value]]  # by variable


@dataclass(frozen=True)
class Variable:
    """A decision repeated `count` times, e.g. the kernel sizes of 20 blocks, each 3, 5 or 7.

    Args:
        bare: it is written as one value, not as a list of one.
        length: the variable that says how many of the values there are, from the first on.
    """

    name: str
    options: tuple[Value, ...]
    count: int = 1
    bare: bool = False
    length: str = ""


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


Words = Mapping[str, Word]  # by variable


def spell(variables: Iterable[Variable]) -> Words:
    """Spell everything as the space does."""
    return {v.name: Word(v, v.name, {o: o for o in v.options}) for v in variables}


def write(words: Words, genes: Genes) -> dict[str, Any]:
    """Write all genes, or as many of each variable as its `length` says; the inverse of `read`."""
    written: dict[str, Any] = {}
    for name, word in words.items():
        length = word.variable.length
        count = cast(int, genes[length][0]) if length else word.variable.count
        labels = [word.spell(gene) for gene in genes[name][:count]]
        written[word.label] = labels[0] if word.variable.bare else labels
    return written


def read(words: Words, answer: Any) -> Genes:
    """Check untrusted parsed JSON and turn it into genes. No value is changed.

    Where there is one variable alone, its bare list will do.

    Raises:
        InvalidArchitecture: all the problems at once, each with its place and what is allowed.
    """
    if isinstance(answer, list) and len(words) == 1:
        answer = {word.label: answer for word in words.values()}
    problems = wrong_keys(answer, [word.label for word in words.values()])
    reads_on = isinstance(answer, dict) and any(word.variable.length for word in words.values())
    if not problems or reads_on:
        present = [word for word in words.values() if word.label in answer]
        problems += [p for word in present for p in _wrong_values(words, word, answer)]
    if problems:
        raise InvalidArchitecture(problems)
    return {
        name: [
            word.read(x)
            for x in ([answer[word.label]] if word.variable.bare else answer[word.label])
        ]
        for name, word in words.items()
    }


def schema(words: Words) -> dict[str, Any]:
    """Return the JSON schema of what `write` writes: an alternative for each length of lists."""
    if not (lengths := {w.variable.length for w in words.values() if w.variable.length}):
        return _schema(words, {})
    (length,) = lengths
    counts = words[length].variable.options
    return {"anyOf": [_schema(words, {length: cast(int, count)}) for count in counts]}


def wrong_keys(answer: Any, labels: Sequence[str]) -> list[str]:
    """Say what is wrong with the keys of `answer`; empty if nothing is."""
    if not isinstance(answer, dict):
        return [f"expected a JSON object with the keys {list(labels)}, got {shorten(answer)}"]
    missing = [f"{label} is missing" for label in labels if label not in answer]
    extra = [f"{shorten(key)} is not a key of this space" for key in answer if key not in labels]
    return missing + extra


def shorten(value: object, limit: int = 60) -> str:
    """Quote untrusted text in a message without letting it flood the message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _wrong_values(words: Words, word: Word, answer: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the value or the list of one variable; empty if nothing is."""
    label, count, values = word.label, word.variable.count, answer[word.label]
    if word.variable.bare:
        return _misfits(word, {label: values})
    lengths: Sequence[int] = [count]
    a_list = f"{label} must be a list of {count} values, got"
    so_many, unit = f"{label} must have {count} values, got", ""
    if word.variable.length:
        lengths, reason = _lengths(words[word.variable.length], answer)
        either = " or ".join(map(str, lengths))
        a_list = so_many = f"{label} must be a list of {either} values, {reason}; got"
        unit = " values"
    if not isinstance(values, list):
        return [f"{a_list} {shorten(values)}"]
    problems = [] if len(values) in lengths else [f"{so_many} {len(values)}{unit}"]
    places = {f"{label}[{i}]": value for i, value in enumerate(values[: max(lengths)])}
    return problems + _misfits(word, places)


def _lengths(length: Word, answer: Mapping[str, Any]) -> tuple[Sequence[int], str]:
    """Return the lengths that lists may have, and why."""
    label = answer.get(length.label)
    try:
        return [cast(int, length.read(label))], f"because {length.label} is {label}"
    except KeyError:
        return cast(Sequence[int], length.variable.options), f"depending on {length.label}"


def _misfits(word: Word, values: Mapping[str, Any]) -> list[str]:
    """Say which values, given by their places, are not options."""
    problems = []
    for place, value in values.items():
        try:
            word.read(value)
        except KeyError:
            options = list(word.labels.values())
            problems.append(f"{place} must be one of {options}, got {shorten(value)}")
    return problems


def _schema(words: Words, lengths: Mapping[str, int]) -> dict[str, Any]:
    """Return the schema in which the variables of `lengths` have these values."""
    properties: dict[str, Any] = {}
    for name, word in words.items():
        labels = [word.spell(lengths[name])] if name in lengths else list(word.labels.values())
        count = lengths.get(word.variable.length, word.variable.count)
        one = {"enum": labels}
        many = {"type": "array", "items": one, "minItems": count, "maxItems": count}
        properties[word.label] = one if word.variable.bare else many
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
