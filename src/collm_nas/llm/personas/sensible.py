"""The persona that answers well: it follows a published prior, then varies the best so far.

As Navigator it names the best architectures of its dialogue as examples, as Generator it varies
the examples of the strategy. It is a check that feedback flows through the pipeline.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set

from collm_nas.core.architecture import Architecture
from collm_nas.llm.personas.base import Answer, Question, Space
from collm_nas.llm.personas.prior import PRIORS
from collm_nas.llm.personas.results import Results, read_results
from collm_nas.llm.personas.writing import fits, item_schema, write

EXAMPLES = 3  # best architectures that a strategy names
ELITE = 5  # best architectures whose patterns a strategy describes
VARIED = 0.5  # share of candidates that vary an example; the others are new draws
GENES_VARIED = 1.5  # on average
DRAWS = 1_000  # before a demand is given up


def sensible(question: Question) -> Answer:
    """Write a strategy or architectures."""
    if question.for_navigator:
        return Answer(strategy(question))
    archs = architectures(question)
    return Answer(write(question, [json.dumps(question.space.encode(arch)) for arch in archs]))


def strategy(question: Question) -> str:
    """Write the Navigator's guidance, from the results in its dialogue."""
    space = question.space
    results = read_results((m.content for m in question.messages), space)
    best = _best(results, ELITE)
    prior = PRIORS.get(space.name)
    rule = prior.tell(space) if prior else "spread all choices evenly"
    if not best:
        summary, patterns = "Nothing has been measured yet.", ["No observations yet."]
        directions = [f"Explore broadly: {rule}."]
    else:
        top = [arch for arch, _ in best]
        measured = sum(accuracy is not None for accuracy in results.values())
        summary = f"{measured} architectures are measured, the best reaches {best[0][1]:g}."
        patterns = _patterns(top, space)
        directions = [
            f"Half of the candidates: {rule}.",
            "The other half: change one or two choices of these, the best so far:",
            *(f"  {json.dumps(space.encode(arch))}" for arch in top[:EXAMPLES]),
        ]
    return "\n".join(
        [
            "# SUMMARY",
            summary,
            "# KEY PATTERNS",
            *(f"- {pattern}" for pattern in patterns),
            "# NAVIGATION DIRECTIONS",
            *directions,
        ]
    )


def architectures(question: Question) -> list[Architecture]:
    """Draw new architectures: variations of those in the task, and samples that keep the prior.

    Raises:
        ValueError: no architecture of the space has the schema that is asked for.
    """
    shown = read_results([question.task], question.space)
    parents = [arch for arch, _ in _best(shown, EXAMPLES)] or list(shown)
    chosen: list[Architecture] = []
    for _ in range(question.count):
        chosen.append(_draw(question, parents, {*shown, *chosen}))
    return chosen


def _draw(
    question: Question, parents: Sequence[Architecture], known: Set[Architecture]
) -> Architecture:
    """Vary a parent or sample; give up, in this order: the parent, the prior, that it is new."""
    space, rng, demands = question.space, question.rng, item_schema(question.schema)
    prior = PRIORS.get(space.name)
    rate = GENES_VARIED / sum(variable.count for variable in space.variables)
    vary = bool(parents) and rng.random() < VARIED
    attempts = [
        (vary, True, True),
        (False, True, True),
        (False, False, True),
        (False, False, False),
    ]
    for varied, in_prior, new in attempts:
        for _ in range(DRAWS):
            arch = space.mutate(rng.choice(parents), rng, rate) if varied else space.sample(rng)
            unwanted = (new and arch in known) or (in_prior and prior and not prior.holds(arch))
            if not unwanted and fits(space.encode(arch), demands):
                return arch
    raise ValueError("no architecture of the space has the JSON schema that is asked for")


def _best(results: Results, count: int) -> list[tuple[Architecture, float]]:
    """Return the most accurate architectures, best first."""
    measured = [(arch, accuracy) for arch, accuracy in results.items() if accuracy is not None]
    return sorted(measured, key=lambda pair: -pair[1])[:count]


def _patterns(archs: list[Architecture], space: Space) -> list[str]:
    """Say which option each gene of the best architectures mostly has."""
    patterns = []
    for variable in space.variables:
        word = space.vocabulary[variable.name]
        for i in range(variable.count):
            values = [arch[variable.name][i] for arch in archs if i < len(arch[variable.name])]
            active = Counter(value for value in values if value in variable.options)
            for value, times in active.most_common(1):
                told = f"{word.label}[{i}]: {word.spell(value)}"
                patterns.append(f"{told} in {times} of the best {len(archs)}")
    return patterns
