"""How many tokens a text has, where no server has counted them.

Prompts here are mostly numbers in brackets, which have many more tokens than prose of their length.
A token is counted for each digit and sign, for the space before a digit, and for each five letters
of a word that are begun. SmolLM2's tokenizer finds between 10% fewer and 1% more in the prompts and
answers of a search, for every space: the estimate errs on the dear side.
"""

from __future__ import annotations

import re

TOKEN = re.compile(r"[a-zA-Z]{1,5}|\w| (?=\d)|[^\w\s]")


def estimated_tokens(*texts: str) -> int:
    """Estimate the tokens of all `texts` together."""
    return sum(1 for text in texts for _ in TOKEN.finditer(text))
