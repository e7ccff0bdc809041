"""Patterns for "any word of this length but these": constrained decoding without repeats.

A model that is asked for one short architecture at a time repeats itself. A pattern that leaves
out what is known already costs nothing and touches no probabilities but those of the repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def all_words_except(alphabet: Sequence[str], length: int, excluded: Collection[str]) -> str:
    """Return a pattern for all words over `alphabet` of `length` letters that are not `excluded`.

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
