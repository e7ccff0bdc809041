"""The personas that answer well, chiefly the sensible one, and one that has no idea.

As Navigator the sensible persona names the best architectures of its dialogue as examples, as
Generator it varies the examples of the strategy. It is a check that feedback flows through the
pipeline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from collm_nas.core.architecture import Architecture
from collm_nas.fake_llm.question import Question
from collm_nas.llm.base import Reply
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.reading import read_proposals
from collm_nas.testing.schema import matches

EXAMPLES = 3  # best architectures that a strategy names
ELITE = 5  # best architectures whose patterns a strategy describes
VARIED = 0.5  # share of candidates that vary an example; the others are new draws
GENES_VARIED = 1.5  # on average
DRAWS = 1_000  # before a demand is given up
ACCURACY = re.compile(r"accuracy\D{0,20}(\d+(?:\.\d+)?)", re.I)
LIMIT = re.compile(r"\blimit", re.I)  # told beside an architecture that misses one
NO_IDEA = "# SUMMARY\nNo idea.\n# KEY PATTERNS\n- None.\n# NAVIGATION DIRECTIONS\nTry anything."

Results = Mapping[Architecture, float | None]


@dataclass(frozen=True)
class Prior:
    """`variable` takes `allowed` values only, and `favourite` at least `times` times."""

    variable: str
    allowed: tuple[str, ...]
    favourite: str
    times: int

    def holds(self, arch: Architecture) -> bool:
        """Tell whether `arch` keeps to the rule."""
        values = arch[self.variable]
        return set(values) <= set(self.allowed) and values.count(self.favourite) >= self.times

    def tell(self, dialect: Dialect) -> str:
        """Say the rule in the words that are used for the space."""
        spell = dialect.words[self.variable].spell
        allowed = ", ".join(f"`{spell(value)}`" for value in self.allowed)
        return f"use only {allowed}, and `{spell(self.favourite)}` at least {self.times} times"


# What is commonly known of NAS-Bench-201: convolutions help most, identities help gradients,
# pooling and absent edges rarely do. A random search inside this one rule beats one without it by
# half a point on CIFAR-10: the persona shows nothing about language models.
PRIORS = {
    "nasbench201": Prior("op", ("skip_connect", "nor_conv_1x1", "nor_conv_3x3"), "nor_conv_3x3", 3)
}


def sensible(question: Question) -> Reply:
    """Follow the prior, then vary the best so far."""
    if question.for_navigator:
        return Reply(strategy(question))
    return Reply(question.write([*map(question.spell, architectures(question))]))


def thinking(question: Question) -> Reply:
    """Think aloud before a sensible answer, of a draft: whoever parses thoughts evaluates it."""
    draft = question.spell(question.space.sample(question.rng))
    return replace(sensible(question), reasoning=f"What of {draft}? No, there are better ones.")


def random(question: Question) -> Reply:
    """Write random legal architectures and a strategy without content."""
    if question.for_navigator:
        return Reply(NO_IDEA)
    archs = [question.space.sample(question.rng) for _ in range(question.count)]
    return Reply(question.write([*map(question.spell, archs)]))


def strategy(question: Question) -> str:
    """Write the Navigator's guidance, from the results in its dialogue."""
    dialect = question.dialect
    results = read_results((m.content for m in question.messages), dialect)
    prior = PRIORS.get(dialect.space.name)
    rule = prior.tell(dialect) if prior else "spread all choices evenly"
    if best := _best(results, ELITE):
        top = [arch for arch, _ in best]
        measured = sum(accuracy is not None for accuracy in results.values())
        summary = f"{measured} architectures are measured, the best reaches {best[0][1]:g}."
        patterns = _patterns(top, dialect)
        directions = [
            f"Half of the candidates: {rule}.",
            "The other half: change one or two choices of these, the best so far:",
            *(f"  {question.spell(arch)}" for arch in top[:EXAMPLES]),
        ]
    else:
        summary, patterns = "Nothing has been measured yet.", ["No observations yet."]
        directions = [f"Explore broadly: {rule}."]
    bullets = [f"- {pattern}" for pattern in patterns]
    return "\n".join(
        ["# SUMMARY", summary, "# KEY PATTERNS", *bullets, "# NAVIGATION DIRECTIONS", *directions]
    )


def architectures(question: Question) -> list[Architecture]:
    """Draw new architectures: variations of those in the task, and samples that keep the prior.

    Raises:
        ValueError: no architecture of the space has the schema that is asked for.
    """
    shown = read_results([question.task], question.dialect)
    parents = [arch for arch, _ in _best(shown, EXAMPLES)] or list(shown)
    chosen: list[Architecture] = []
    for _ in range(question.count):
        chosen.append(_draw(question, parents, {*shown, *chosen}))
    return chosen


def read_results(texts: Iterable[str], dialect: Dialect) -> Results:
    """Map the architectures that `texts` show, in order, to the accuracies told on their lines.

    Architectures that miss a limit are left out: they are nothing to learn from.
    """
    results: dict[Architecture, float | None] = {}
    for line in (line for text in texts for line in text.splitlines() if "{" in line):
        accuracy = ACCURACY.search(line)
        for proposal in [] if LIMIT.search(line) else read_proposals(line, dialect):
            if isinstance(arch := proposal.candidate, Architecture):
                results[arch] = float(accuracy[1]) if accuracy else results.get(arch)
    return results


def _draw(
    question: Question, parents: Sequence[Architecture], known: Set[Architecture]
) -> Architecture:
    """Vary a parent or sample; give up, in this order: the parent, the prior, that it is new."""
    space, rng, schema = question.space, question.rng, question.item_schema
    prior = PRIORS.get(space.name)
    rate = GENES_VARIED / sum(variable.count for variable in space.variables)
    vary = bool(parents) and rng.random() < VARIED
    for varied, in_prior, new in (
        (vary, True, True),
        (False, True, True),
        (False, False, True),
        (False, False, False),
    ):
        for _ in range(DRAWS):
            arch = space.mutate(rng.choice(parents), rng, rate) if varied else space.sample(rng)
            unwanted = (new and arch in known) or (in_prior and prior and not prior.holds(arch))
            if not unwanted and matches(schema, question.dialect.encode(arch)):
                return arch
    raise ValueError("no architecture of the space has the JSON schema that is asked for")


def _best(results: Results, count: int) -> list[tuple[Architecture, float]]:
    """Return the most accurate architectures, best first."""
    measured = [(arch, accuracy) for arch, accuracy in results.items() if accuracy is not None]
    return sorted(measured, key=lambda pair: -pair[1])[:count]


def _patterns(archs: list[Architecture], dialect: Dialect) -> list[str]:
    """Say which option each gene of the best architectures mostly has."""
    patterns = []
    for variable in dialect.space.variables:
        word = dialect.words[variable.name]
        for i in range(variable.count):
            values = [arch[variable.name][i] for arch in archs if i < len(arch[variable.name])]
            active = Counter(value for value in values if value in variable.options)
            for value, times in active.most_common(1):
                told = f"{word.label}[{i}]: {word.spell(value)}"
                patterns.append(f"{told} in {times} of the best {len(archs)}")
    return patterns
