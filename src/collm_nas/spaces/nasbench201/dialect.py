"""NAS-Bench-201 in few tokens for small models, or with everything hidden that is well known."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.prompting.dialect import Dialect
from collm_nas.spaces.format import Word, Words, shorten, wrong_keys
from collm_nas.spaces.nasbench201.space import EDGES, wrong_edges

COUNT = len(EDGES)


class SpaceDialect(Dialect):
    """The cell as the benchmark's string, as one digit for each edge, or as a list of letters.

    `short` tells the official operations and writes one digit for each. `opaque` hides operations,
    string format and data set behind letters. With `short` names `order_seed` permutes the edges,
    too: a small model copies a cell it was shown and changes the last digits.
    """

    @property
    def task(self) -> str:
        """Name what the networks are for, as far as a model may know."""
        hidden = "image classification on a small data set"
        return hidden if self.names == "opaque" else super().task

    @property
    def edges(self) -> list[str]:
        """List the edges in the order in which they are told, e.g. `0->1`."""
        return [f"{EDGES[edge][0]}->{EDGES[edge][1]}" for edge in self._order]

    def encode(self, arch: Architecture) -> Any:
        """Return `{"cell": "|nor_conv_3x3~0|+|…"}`, `{"cell": "333132"}` or `{"edges": [...]}`."""
        if self.names == "official":
            return super().encode(arch)
        labels = [str(self._word.spell(operation)) for operation in arch["op"]]
        if self.names == "opaque":
            return {"edges": labels}
        return {"cell": "".join(labels[edge] for edge in self._order)}

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes; see `Dialect.decode`."""
        if self.names == "official":
            return super().decode(answer)
        key, kind, form = "cell", cast("type[Any]", str), f"a string of {COUNT} digits"
        if self.names == "opaque":
            key, kind, form = "edges", list, f"a list of {COUNT} letters"
        if problems := wrong_keys(answer, [key]):
            raise InvalidArchitecture(problems)
        written = answer[key]
        if not isinstance(written, kind) or len(written) != COUNT:
            raise InvalidArchitecture(f"{key} must be {form}, got {shorten(written)}")
        labels = [label for _, label in sorted(zip(self._order, written, strict=True))]
        if problems := wrong_edges(labels, list(self._word.labels.values())):
            raise InvalidArchitecture(problems)
        return Architecture.of({"op": [self._word.read(label) for label in labels]})

    def schema(self, exclude: Iterable[Architecture] = ()) -> dict[str, Any]:
        """Return the JSON schema of one cell; `exclude` is honoured by `short` names."""
        labels = [str(label) for label in self._word.labels.values()]
        value: dict[str, Any]
        match self.names:
            case "official":
                return super().schema()
            case "opaque":
                key, value = "edges", {"type": "array", "items": {"enum": labels}}
                value |= {"minItems": COUNT, "maxItems": COUNT}
            case "short":
                known = {self.encode(arch)["cell"] for arch in exclude}
                pattern = all_words_except(labels, COUNT, known)
                key, value = "cell", {"type": "string", "pattern": f"^{pattern}$"}
        return {
            "type": "object",
            "properties": {key: value},
            "required": [key],
            "additionalProperties": False,
        }

    def _words(self) -> Words:
        if self.names != "short":
            return super()._words()
        return {
            v.name: Word(v, v.name, {option: str(i) for i, option in enumerate(v.options)})
            for v in self.space.variables
        }

    @property
    def _word(self) -> Word:
        return self.words["op"]

    @property
    def _order(self) -> list[int]:
        """List the positions in `EDGES` in the order in which they are told."""
        edges = list(range(COUNT))
        if self.names == "short" and self.order_seed is not None:
            random.Random(f"edges/{self.order_seed}").shuffle(edges)
        return edges


def all_words_except(alphabet: Sequence[str], length: int, excluded: Collection[str]) -> str:
    """Return a pattern for all words over `alphabet` of `length` letters that are not `excluded`.

    A model that is asked for one short architecture at a time repeats itself. A pattern that
    leaves out what is known already costs nothing, and touches no probabilities but those of the
    repeats.

    Raises:
        ValueError: nothing is left.
    """
    pattern = _from(alphabet, length, sorted(excluded))
    if pattern is None:
        raise ValueError(f"all {len(alphabet) ** length:,} words are excluded")
    return pattern


def _from(alphabet: Sequence[str], length: int, excluded: Sequence[str]) -> str | None:
    """Return the pattern of what may follow a prefix, `excluded` being the endings that may not."""
    if not excluded:
        return f"[{''.join(alphabet)}]{{{length}}}" if length else ""
    if length == 0:
        return None
    branches = []
    if free := [letter for letter in alphabet if not any(w[0] == letter for w in excluded)]:
        rest = f"[{''.join(alphabet)}]{{{length - 1}}}" if length > 1 else ""
        branches.append(f"[{''.join(free)}]{rest}")
    for letter in alphabet:
        if letter not in free:
            endings = [w[1:] for w in excluded if w[0] == letter]
            if (rest_or_none := _from(alphabet, length - 1, endings)) is not None:
                branches.append(letter + rest_or_none)
    return f"({'|'.join(branches)})" if branches else None
