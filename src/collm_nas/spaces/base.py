"""What a search space is: named categorical variables, and the architectures they span.

A new space subclasses `SearchSpace`, lists its `variables` and says what an architecture costs.
Sampling, mutation, crossover, neighbours, reading what was written and its error messages come for
free. A text beside its module, `space.md` of `space.py`, describes it to a reader.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

from collm_nas.core.architecture import Architecture, InvalidArchitecture, NothingFeasible, Value
from collm_nas.spaces import format as as_json
from collm_nas.spaces.format import Variable
from collm_nas.spaces.published import Published

__all__ = [
    "BYTES_PER_VALUE",
    "Bounds",
    "Costs",
    "SearchSpace",
    "Variable",
    "describe",
    "first_within",
    "largest_pair",
    "lies_within",
    "ranges",
]

BYTES_PER_VALUE = 4  # of activations, in single precision

Costs = dict[str, float]
Bounds = tuple[str, float | None, float | None]  # (cost, minimum, maximum); None is an open end


class SearchSpace(ABC):
    """The set of all architectures.

    Args:
        variables: the decisions, in the order in which architectures list them.
    """

    name: ClassVar[str]
    supernet: ClassVar[str] = ""  # "module:Class" of its weight-sharing network, if it has one
    tables: ClassVar[str] = ""  # "module:function" that reads the accuracies of all, if known
    num_classes: int  # what the networks tell apart; spaces with a supernet set it

    # What was published of such spaces, by the names that `arch=` takes.
    published: ClassVar[Mapping[str, Published]] = {}

    # Whether the networks also work on images of other sides than `image_sizes`, so that a
    # supernet may be trained on sides that are not searched.
    takes_any_size: ClassVar[bool] = False

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)

    @property
    def task(self) -> str:
        """Name what the networks are for."""
        return "image classification"

    @property
    def identity(self) -> str:
        """Name what the weights of a supernet depend on: space, widths, classes.

        Weights are stored with it, and another space's are refused.
        """
        return self.name

    @abstractmethod
    def costs(self, arch: Architecture) -> Costs:
        """Return the exact costs in closed form: at least `macs` and `params`, as counts."""

    def resolution(self, arch: Architecture) -> int:
        """Return the side of the images that `arch` takes, in pixels; supernets need to know."""
        raise NotImplementedError(f"{type(self).__name__}.resolution is not defined")

    def activation_bytes(self, arch: Architecture) -> int:
        """Return the memory that the most demanding layer of `arch` needs for one image.

        It is the largest sum of input and output of a convolution or linear layer, in single
        precision (4 bytes per value). What waits for a later layer (the other half of a shuffle
        unit, the input that a residual block adds at its end) and what has no weights (attention
        itself) is not counted, nor are the weights.
        """
        raise NotImplementedError(f"{type(self).__name__}.activation_bytes is not defined")

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        """Return the least and the most that any architecture costs; `None`: not known exactly."""
        return None

    def image_sizes(self) -> tuple[int, ...]:
        """List the sides of images that architectures take, in pixels; most spaces have one."""
        return (self.resolution(self.sample(random.Random(0))),)

    def published_within(self) -> dict[str, Architecture]:
        """Return those of `published` that this space contains, by name."""
        found = {}
        for name, net in self.published.items():
            with suppress(InvalidArchitecture):  # of a larger version of this space
                found[name] = self.decode(net.written)
        return found

    def block_names(self, arch: Architecture) -> list[str]:
        """Name the chosen blocks of `arch` from input to output; equal ones take equally long.

        The time of a network is then about the sum over its blocks, and a constant for each of the
        `image_sizes`. `Supernet.blocks_of` lists the modules that the names stand for.

        Raises:
            ValueError: the networks are no chain of blocks that are chosen one by one.
        """
        raise ValueError(f"{self.name} has no table of blocks: its networks are no chain of them")

    def canonical(self, arch: Architecture) -> Architecture:
        """Map architectures that build the same network to one representative of them."""
        return arch

    def key(self, arch: Architecture) -> str:
        """Name a canonical architecture in few characters: for file names, tables and charts.

        Different architectures have different keys. Values of one character stand side by side
        (`k353`), longer ones are set apart (`c16+32+8`).
        """
        return "-".join(f"{v.name[0]}{spell_values(v, arch[v.name])}" for v in self.variables)

    def size(self) -> int:
        """Count the architectures, each network once."""
        return math.prod(len(v.options) ** v.count for v in self.variables)

    def architectures(self) -> Iterator[Architecture]:
        """List all architectures, each network once; for spaces of a moderate `size`."""
        names = [v.name for v in self.variables]
        rows = [itertools.product(v.options, repeat=v.count) for v in self.variables]
        built = (self.build(dict(zip(names, r, strict=True))) for r in itertools.product(*rows))
        yield from dict.fromkeys(built)

    # -- moving about in the space ----------------------------------------------------------

    def sample(self, rng: random.Random) -> Architecture:
        """Draw every gene uniformly."""
        return self.build({v.name: rng.choices(v.options, k=v.count) for v in self.variables})

    def sample_within(self, rng: random.Random, limits: Sequence[Bounds]) -> Architecture:
        """Draw uniformly from the architectures whose `costs` lie within `limits`, ends included.

        Raises:
            NothingFeasible: none was found; at once, if the exact range of a cost rules it out.
        """
        self.refuse_impossible(limits)
        return first_within(lambda: self.sample(rng), self.costs, limits)

    def refuse_impossible(self, limits: Sequence[Bounds]) -> None:
        """Compare each limit with the exact range of its cost, where that is known.

        Raises:
            NothingFeasible: no architecture meets some limits; all of these are told.
        """
        problems = []
        for metric, low, high in limits:
            ends = self.cost_range(metric)
            floor, ceiling = -math.inf if low is None else low, math.inf if high is None else high
            if ends and (floor > ends[1] or ceiling < ends[0]):
                problems.append(
                    f"no architecture of {self.name} has {describe((metric, low, high))}: the "
                    f"smallest has {ends[0]:,.12g} and the largest {ends[1]:,.12g} (exact). Widen "
                    f"the limit (config key: limits.{metric})"
                )
        if problems:
            raise NothingFeasible("\n".join(problems))

    def mutate(
        self, arch: Architecture, rng: random.Random, rate: float | Mapping[str, float]
    ) -> Architecture:
        """Redraw each gene with probability `rate`: one for all, or one per variable.

        A rate for several variables, as in `{"ks+e": 0.1}`, redraws their genes at one position
        together.
        """
        rates = rate if isinstance(rate, Mapping) else {v.name: rate for v in self.variables}
        options = {v.name: v.options for v in self.variables}
        genes = self.full_genes(arch, rng)
        for key, p in rates.items():
            names = key.split("+")
            for i in range(len(genes[names[0]])):
                if rng.random() < p:
                    for name in names:
                        genes[name][i] = rng.choice(options[name])
        return self.build(genes)

    def mutate_one(self, arch: Architecture, rng: random.Random) -> Architecture:
        """Change one gene to another of its options; all genes are equally likely."""
        genes = self.full_genes(arch, rng)
        places = [(v, i) for v in self.variables if len(v.options) > 1 for i in range(v.count)]
        v, i = rng.choice(places)
        genes[v.name][i] = rng.choice([o for o in v.options if o != genes[v.name][i]])
        return self.build(genes)

    def crossover(self, a: Architecture, b: Architecture, rng: random.Random) -> Architecture:
        """Take each gene from either parent with equal probability."""
        one, other = self.full_genes(a, rng), self.full_genes(b, rng)
        return self.build(
            {
                name: [rng.choice(pair) for pair in zip(one[name], other[name], strict=True)]
                for name in one
            }
        )

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """List the other architectures that differ in one gene, without repeats.

        A gene that the change activates takes a value drawn from the architecture's own key.
        """
        genes = self.full_genes(arch, random.Random(str(arch)))
        found: dict[Architecture, None] = {}
        for v in self.variables:
            for i, current in enumerate(genes[v.name]):
                for option in v.options:
                    if option != current:
                        changed = [*genes[v.name][:i], option, *genes[v.name][i + 1 :]]
                        found[self.build({**genes, v.name: changed})] = None
        found.pop(arch, None)
        return list(found)

    def full_genes(self, arch: Architecture, rng: random.Random) -> dict[str, list[Value]]:
        """Return all genes; inactive ones, which `canonical` blanked or cut, are drawn."""
        return {
            v.name: [
                arch[v.name][i]
                if i < len(arch[v.name]) and arch[v.name][i] in v.options
                else rng.choice(v.options)
                for i in range(v.count)
            ]
            for v in self.variables
        }

    def build(self, genes: Mapping[str, Iterable[Value]]) -> Architecture:
        """Make the canonical architecture of trusted genes, all of them given."""
        return self.canonical(Architecture.of({v.name: genes[v.name] for v in self.variables}))

    # -- the format in which people and tools write architectures ---------------------------

    def encode(self, arch: Architecture) -> Any:
        """Write `arch` as JSON; the inverse of `decode`."""
        genes = self.full_genes(arch, random.Random(str(arch)))
        return as_json.write(as_json.spell(self.variables), genes)

    def decode(self, answer: Any) -> Architecture:
        """Check untrusted parsed JSON and turn it into an architecture. No value is changed.

        Raises:
            InvalidArchitecture: all the problems at once, each with its place and what is allowed.
        """
        return self.build(as_json.read(as_json.spell(self.variables), answer))

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of what `encode` writes."""
        return as_json.schema(as_json.spell(self.variables))

    def transcribe(self, written: Any) -> Any:
        """Turn an architecture as the space's original tools write it into what `decode` reads.

        Only keys and brackets change, never a value. What is not recognised is returned as it is,
        so that `decode` says what is wrong with it.
        """
        return written


def spell_values(variable: Variable, values: Sequence[Value]) -> str:
    """Write values of a variable so that no other values are written alike, fit for file names.

    `+` sets values apart and is in none of them: what is neither letter, digit, `_` nor `.` is
    written as in addresses (`%2D`), and text that does not begin with a letter in quotes, so that
    `"1"` is not 1.
    """
    words = [_word(value) for value in values]
    if all(len(_word(option)) == 1 for option in variable.options):
        return "".join(word if len(word) == 1 else f"+{word}+" for word in words)
    return "+".join(words) if variable.count == 1 else "".join(f"+{word}" for word in words)


def _word(value: Value) -> str:
    text = value if isinstance(value, str) and value[:1].isalpha() else json.dumps(value)
    return quote(text, safe="").replace("-", "%2D").replace("~", "%7E")


def largest_pair(values: Iterable[int]) -> int:
    """Return the most that two neighbours in a chain of layers hold together.

    `values` counts the numbers in every tensor of the chain, from its input to its output: a layer
    needs its input and its output at the same time. See `SearchSpace.activation_bytes`.
    """
    return max(before + after for before, after in itertools.pairwise(values))


def first_within(
    draw: Callable[[], Architecture],
    costs: Callable[[Architecture], Costs],
    limits: Sequence[Bounds],
    attempts: int = 10_000,
) -> Architecture:
    """Draw until the costs lie within `limits`.

    Raises:
        NothingFeasible: they never did; the message tells what they ranged over.
    """
    seen: list[Costs] = []
    for _ in range(attempts):
        arch = draw()
        if not limits:
            return arch
        seen.append(costs(arch))
        if lies_within(seen[-1], limits):
            return arch
    raise NothingFeasible(
        f"no architecture in {attempts:,} draws has {' and '.join(map(describe, limits))}; seen "
        f"in these draws (not exact) were {ranges(seen, limits)}. Widen the limits (config key: "
        "limits)"
    )


def ranges(seen: Sequence[Mapping[str, float]], limits: Sequence[Bounds]) -> str:
    """Write what the limited costs ranged over: `macs from 1,000,000 to 2,000,000`."""
    return ", ".join(
        f"{metric} from {min(c[metric] for c in seen):,.12g} to "
        f"{max(c[metric] for c in seen):,.12g}"
        for metric in dict.fromkeys(metric for metric, _, _ in limits)
    )


def describe(limit: Bounds) -> str:
    """Write a limit in words: `macs at most 330,000,000`."""
    metric, *ends = limit
    words = zip(("at least", "at most"), ends, strict=True)
    return f"{metric} " + " and ".join(f"{w} {end:,.12g}" for w, end in words if end is not None)


def lies_within(costs: Costs, limits: Sequence[Bounds]) -> bool:
    """Tell whether `costs` meet all `limits`."""
    return all(
        (low is None or low <= costs[metric]) and (high is None or costs[metric] <= high)
        for metric, low, high in limits
    )
