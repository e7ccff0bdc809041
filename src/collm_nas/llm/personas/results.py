"""Reading a dialogue as a language model would: which architectures it shows, and how good.

Wherever a JSON object that is an architecture of the space stands in the text, its accuracy is
the number after the next word "accuracy" on the same line. Nothing else is assumed about the
wording of prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from collm_nas.core.architecture import Architecture
from collm_nas.llm.personas.base import Space

ACCURACY = re.compile(r"accuracy\D{0,20}(\d+(?:\.\d+)?)", re.I)
LIMIT = re.compile(r"\blimit", re.I)  # told behind an architecture that misses one
MAX_OBJECTS = 5_000  # opening braces that are looked at: a message may be garbage

Results = Mapping[Architecture, float | None]


def read_results(texts: Iterable[str], space: Space) -> Results:
    """Map the architectures that `texts` show, in order, to their accuracies where told.

    Architectures that miss a limit are left out: they are nothing to learn from.
    """
    results: dict[Architecture, float | None] = {}
    for text in texts:
        for arch, remark in _shown(text, space):
            if not LIMIT.search(remark):
                accuracy = ACCURACY.search(remark)
                results[arch] = float(accuracy[1]) if accuracy else results.get(arch)
    return results


def _shown(text: str, space: Space) -> Iterator[tuple[Architecture, str]]:
    """Iterate over the architectures in `text`, each with what stands behind it on its line."""
    decoder = json.JSONDecoder()
    found: list[tuple[Architecture, int, int]] = []
    position = 0
    for _ in range(MAX_OBJECTS):
        if (start := text.find("{", position)) < 0:
            break
        position = start + 1
        try:
            value, end = decoder.raw_decode(text, start)
            found.append((space.decode(value), start, end))
        except (ValueError, RecursionError):  # not JSON, or not an architecture: look inside
            continue
        position = end
    starts = [start for _, start, _ in found[1:]] + [len(text)]
    for (arch, _, end), following in zip(found, starts, strict=False):
        yield arch, text[end:following].partition("\n")[0]
