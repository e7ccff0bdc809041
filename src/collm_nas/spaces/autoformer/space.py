"""AutoFormer (Chen et al., 2021, https://arxiv.org/abs/2107.00651): vision transformers.

One depth and one embedding width for the network, and for every layer its number of attention
heads and the width of its MLP. Heads are 64 wide whatever the embedding, and all layers have
relative positions on keys and values: the configuration of the released weights.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, cast

from annotated_types import MinLen

from collm_nas.core.architecture import Architecture, InvalidArchitecture, NothingFeasible
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Positive, Seed, Side, one_of
from collm_nas.spaces.autoformer.published import PUBLISHED
from collm_nas.spaces.autoformer.sampling import STEP, ExactSampler, Totals
from collm_nas.spaces.base import (
    BYTES_PER_VALUE,
    Bounds,
    Costs,
    SearchSpace,
    Variable,
    describe,
    ranges,
    shorten,
    wrong_keys,
)
from collm_nas.spaces.vocabulary import Word

HEAD_DIM = 64
MAX_DISTANCE = 14  # in patches; pairs that are farther apart share one relative position
TABLE_ROWS = 2 * MAX_DISTANCE + 2  # one for each distance, and row 0 for the class token
LISTS = ("mlp_ratio", "num_heads")
# Of the options; the MLP of an even width is a whole number of units wide.
STEPS = {"depth": 1, "embed_dim": 2, "mlp_ratio": STEP, "num_heads": 1}
Options = Annotated[Sequence[Positive], MinLen(1)]
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Choices:
    """The options of every variable."""

    depth: tuple[int, ...]
    embed_dim: tuple[int, ...]
    mlp_ratio: tuple[float, ...]
    num_heads: tuple[int, ...]


PAPER = {
    "tiny": Choices((12, 13, 14), (192, 216, 240), (3.0, 3.5, 4.0), (3, 4)),
    "small": Choices((12, 13, 14), (320, 384, 448), (3.0, 3.5, 4.0), (5, 6, 7)),
    "base": Choices((14, 15, 16), (528, 576, 624), (3.0, 3.5, 4.0), (8, 9, 10)),
}
PROFILES = {
    "paper": PAPER,
    "repo": {
        "tiny": replace(PAPER["tiny"], mlp_ratio=(3.5, 4.0)),
        "small": PAPER["small"],
        "base": replace(PAPER["base"], num_heads=(9, 10)),
    },
}
RELEASED_EMBED_DIM = {"tiny": 256, "small": 448, "base": 640}  # wider than any choice, T and B


class Shape(NamedTuple):
    """The widths of one network."""

    embed_dim: int
    num_heads: tuple[int, ...]  # per layer
    mlp_ratios: tuple[float, ...]  # per layer


def shape_of(arch: Architecture) -> Shape:
    """Return the widths of `arch`; genes beyond its depth do not count."""
    depth, embed = cast(int, arch["depth"][0]), cast(int, arch["embed_dim"][0])
    heads = cast(tuple[int, ...], arch["num_heads"][:depth])
    ratios = cast(tuple[float, ...], arch["mlp_ratio"][:depth])
    return Shape(embed, heads, ratios)


@checked
class AutoFormer(SearchSpace):
    """AutoFormer's vision transformers.

    Args:
        size: tiny, small or base; or options of one's own, a mapping with the fields of `Choices`.
        profile: which options the published sizes have. `paper`: those of the paper's table;
            `repo`: those that the released weights were trained on, that is tiny without MLP
            ratio 3.0 and base without 8 heads.
        names: `official`, or `opaque` to hide all meaning behind letters.
        order_seed: see `SearchSpace`.
        resolution: side of the square input images, in pixels.
        patch_size: side of the square patches that become tokens, in pixels.
        num_classes: how many classes the networks tell apart.

    Raises:
        ValueError: an argument makes no network.
    """

    name = "autoformer"
    supernet = "collm_nas.spaces.autoformer.supernet:AutoFormerSupernet"
    published = PUBLISHED

    def __init__(
        self,
        size: Annotated[str, one_of(PAPER)] | Mapping[str, Options] = "tiny",
        profile: Literal["paper", "repo"] = "paper",
        names: Literal["official", "opaque"] = "official",
        order_seed: Seed | None = None,
        resolution: Side = 224,
        patch_size: Side = 16,
        num_classes: Count = 1000,
    ) -> None:
        self.choices = c = _choices(size, profile)
        if resolution % patch_size:
            raise ValueError(
                "searchspace.resolution must be a multiple of searchspace.patch_size, "
                f"{patch_size}, got {resolution}"
            )
        self.published_size = size if isinstance(size, str) else None
        self.side = resolution
        self.patch_size = patch_size
        self.num_classes = num_classes
        layers = max(c.depth)
        variables = [
            Variable("depth", c.depth),
            Variable("embed_dim", c.embed_dim),
            Variable("mlp_ratio", c.mlp_ratio, layers),
            Variable("num_heads", c.num_heads, layers),
        ]
        super().__init__(variables, names, order_seed)
        self.sampler = ExactSampler((c.depth, c.embed_dim, c.mlp_ratio, c.num_heads), self._costs)

    @property
    def full(self) -> Architecture:
        """The whole supernet, written as an architecture. It may be wider than any of the space."""
        widest = RELEASED_EMBED_DIM.get(self.published_size or "", max(self.choices.embed_dim))
        return Architecture.of({**dict(self._uniform(max).genes), "embed_dim": [widest]})

    @property
    def identity(self) -> str:
        """Name what the weights of a supernet depend on, e.g. `autoformer-d14-e256-m8-h4-…`."""
        (depth,), (embed,), (ratio, *_), (heads, *_) = (values for _, values in self.full.genes)
        widths = f"d{depth}-e{embed}-m{_doubled(ratio)}-h{heads}"
        return f"{self.name}-{widths}-r{self.side}-p{self.patch_size}-c{self.num_classes}"

    def resolution(self, arch: Architecture) -> int:
        """Return the side of the images, in pixels; it is the same for all architectures."""
        return self.side

    def canonical(self, arch: Architecture) -> Architecture:
        """Cut the lists to the depth: the layers beyond it do not exist."""
        depth = cast(int, arch["depth"][0])
        return Architecture(tuple([(name, values[:depth]) for name, values in arch.genes]))

    def key(self, arch: Architecture) -> str:
        """Return e.g. `d13-e192-m7767…-h333…`: MLP ratios doubled, ten heads written as `a`."""
        ratios = "".join(DIGITS[_doubled(ratio)] for ratio in arch["mlp_ratio"])
        heads = "".join(DIGITS[cast(int, heads)] for heads in arch["num_heads"])
        return f"d{arch['depth'][0]}-e{arch['embed_dim'][0]}-m{ratios}-h{heads}"

    def size(self) -> int:
        """Count the architectures, each network once."""
        c = self.choices
        layer = len(c.mlp_ratio) * len(c.num_heads)
        networks: int = len(c.embed_dim) * sum(layer**depth for depth in c.depth)
        return networks

    def sample_within(self, rng: random.Random, limits: Sequence[Bounds]) -> Architecture:
        """See `SearchSpace.sample_within`: exact for any limits, and no draw is in vain."""
        self.refuse_impossible(limits)
        combinations = self.sampler.within(tuple(limits))
        if not combinations.totals:
            ends = [self.costs(self._uniform(pick)) for pick in (min, max)]
            raise NothingFeasible(
                f"no architecture of {self.name} has {' and '.join(map(describe, limits))}, though "
                f"they reach from {ranges(ends, limits)} (exact). Widen the limits (config key: "
                "limits)"
            )
        return self.build(self.sampler.draw(rng, combinations))

    def costs(self, arch: Architecture) -> Costs:
        """Return `macs`, `params` and `repo_flops`.

        `macs` are those of the attention as it is defined: every query meets every key and their
        relative position, and the same for values. Our networks need fewer, see
        `collm_nas.spaces.autoformer.supernet`. `repo_flops` is `get_complexity` of the authors'
        repository, the figure in published tables: it counts one token too many, and the
        classifier for every token.
        """
        embed, heads, ratios = shape_of(arch)
        return self._costs(Totals(len(heads), embed, sum(heads), sum(ratios)))

    def activation_bytes(self, arch: Architecture) -> int:
        """See `SearchSpace`."""
        embed, heads, ratios = shape_of(arch)
        patches = (self.side // self.patch_size) ** 2
        widest = max(3 * HEAD_DIM * max(heads), int(embed * max(ratios)))
        layer = (patches + 1) * (embed + widest)
        return BYTES_PER_VALUE * max(layer, 3 * self.side**2 + patches * embed)

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        """See `SearchSpace`: every cost grows with every gene."""
        least, most = (self.costs(self._uniform(pick)) for pick in (min, max))
        return (least[metric], most[metric]) if metric in least else None

    def _costs(self, totals: Totals) -> Costs:
        depth, embed = totals.depth, totals.embed_dim
        attention, hidden = HEAD_DIM * totals.heads, int(embed * totals.mlp_ratio)
        patches = (self.side // self.patch_size) ** 2
        tokens = patches + 1
        pixels = 3 * self.patch_size**2
        macs = (
            (patches * pixels + self.num_classes) * embed
            + 4 * tokens * (embed + tokens) * attention
            + 2 * tokens * embed * hidden
        )
        params = (
            (pixels + 1 + tokens + 1 + 2 + self.num_classes) * embed
            + self.num_classes
            + (6 * embed + 4 * TABLE_ROWS * HEAD_DIM) * depth
            + (4 * embed + 3) * attention
            + (2 * embed + 1) * hidden
        )
        n = tokens + 1
        repo_flops = (
            (1 + patches * pixels + tokens / 2 + tokens * self.num_classes) * embed
            + (2 * embed + (2 * MAX_DISTANCE + 0.5) * n) * n * depth
            + (4 * embed + 2 * n + 0.5) * n * attention
            + 2 * n * embed * hidden
        )
        return {"macs": macs, "params": params, "repo_flops": repo_flops}

    # -- what a language model reads and writes ---------------------------------------------

    def encode(self, arch: Architecture) -> Any:
        """Return `{"depth": 13, "embed_dim": 192, "mlp_ratio": [13 values], "num_heads": [13]}`."""
        answer = {}
        for word in self.vocabulary.values():
            labels = [word.spell(gene) for gene in arch[word.variable.name]]
            answer[word.label] = labels if _is_list(word) else labels[0]
        return answer

    def decode(self, answer: Any) -> Architecture:
        """Read what `encode` writes; see `SearchSpace.decode`."""
        words = self.vocabulary
        problems = wrong_keys(answer, [word.label for word in words.values()])
        if not isinstance(answer, dict):
            raise InvalidArchitecture(problems)
        written = [word for word in words.values() if word.label in answer]
        lengths, reason = self._lengths(answer)
        for word in written:
            problems += _wrong_gene(word, answer[word.label], lengths, reason)
        if problems:
            raise InvalidArchitecture(problems)
        genes = {w.variable.name: answer[w.label] for w in written}
        return self.build(
            {
                name: map(words[name].read, value if _is_list(words[name]) else [value])
                for name, value in genes.items()
            }
        )

    def schema(self, exclude: Iterable[Architecture] = ()) -> dict[str, Any]:
        """Return the JSON schema of one encoded architecture: an alternative for each depth."""
        return {"anyOf": [self._schema_of_depth(depth) for depth in self.choices.depth]}

    def knowledge(self) -> str:
        """Tell the choices and the format and, by official names, what they cost."""
        seed = self.order_seed
        example = json.dumps(self.encode(self.sample(random.Random(f"example/{seed}"))))
        sections = [
            ["## Search Space", *self._told_choices(seed)],
            [
                "## Representation Format",
                self._told_format(),
                f"Example (it shows the format, not a good network): {example}",
            ],
        ]
        if self.names == "official":
            sections.append(["## Trade-offs", *self._told_trade_offs()])
        return "\n\n".join("\n".join(lines) for lines in sections)

    def transcribe(self, written: Any) -> Any:
        """See `SearchSpace`: what the authors' retraining, sampling and evolution write.

        That is a YAML file with a section `RETRAIN` and keys in capitals, a mapping with the depth
        as `layer_num` and the width once for each layer, and a flat tuple: depth, ratios, heads,
        width.
        """
        if isinstance(written, list):
            return _from_tuple(written)
        if not isinstance(written, dict):
            return written
        section = written.get("RETRAIN", written)
        if not isinstance(section, dict):
            return written
        names = {**{name.upper(): name for name in STEPS}, "layer_num": "depth"}
        wire = {k if names.get(k) in section else names.get(k, k): v for k, v in section.items()}
        widths = wire.get("embed_dim")
        if isinstance(widths, list) and len(widths) == wire.get("depth"):
            different = list({repr(width): width for width in widths}.values())
            wire["embed_dim"] = different[0] if len(different) == 1 else widths
        return wire

    def _lengths(self, answer: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
        """Return the lengths that the lists of `answer` may have, and why."""
        word = self.vocabulary["depth"]
        label = answer.get(word.label)
        try:
            return (cast(int, word.read(label)),), f"because {word.label} is {label}"
        except KeyError:
            return self.choices.depth, f"depending on {word.label}"

    def _schema_of_depth(self, depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for word in self.vocabulary.values():
            is_depth = word.variable.name == "depth"
            one = {"enum": [word.spell(depth)] if is_depth else list(word.labels.values())}
            many = {"type": "array", "items": one, "minItems": depth, "maxItems": depth}
            properties[word.label] = many if _is_list(word) else one
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def _told_choices(self, seed: object) -> list[str]:
        official = self.names == "official"
        meanings = {
            "depth": ": how many layers the network has",
            "embed_dim": ": the width of every token, in all layers",
            "mlp_ratio": ": hidden units of the layer's MLP, as a multiple of embed_dim",
            "num_heads": f": attention heads of the layer, each {HEAD_DIM} wide",
        }
        lines = ["A network is described by two choices and two lists of choices."]
        if official:
            lines = [
                f"A network is a vision transformer for {self.side}x{self.side} images, cut into "
                f"patches of {self.patch_size}x{self.patch_size} pixels. A layer is self-attention "
                "with relative positions, then an MLP, each behind a layer norm and with a "
                "shortcut around it. The mean over all patches goes into a linear classifier."
            ]
        for word in self.vocabulary.values():
            options = ", ".join(map(str, word.told(seed)))
            scope = "a list, each value" if _is_list(word) else "one value,"
            meaning = meanings[word.variable.name] if official else ""
            lines.append(f"- `{word.label}` ({scope} one of {options}){meaning}.")
        return lines

    def _told_format(self) -> str:
        depth, _, *lists = self.vocabulary.values()
        keys = ", ".join(
            f'"{w.label}": {"[values]" if _is_list(w) else "value"}'
            for w in self.vocabulary.values()
        )
        both = " and ".join(f"`{word.label}`" for word in lists)
        text = f"A network is one JSON object, {{{keys}}}. "
        if self.names == "opaque":
            lengths = ", ".join(f"{depth.spell(d)} means {d}" for d in self.choices.depth)
            return f"{text}How many values {both} have is told by `{depth.label}`: {lengths}."
        return (
            f"{text}{both} have exactly as many values as `{depth.label}` says, one for each "
            "layer, the layer next to the image first. Any other length is an error."
        )

    def _told_trade_offs(self) -> list[str]:
        least, most = (self.costs(self._uniform(pick)) for pick in (min, max))
        spans = " and ".join(
            f"{least[metric] / 1e6:,.1f} to {most[metric] / 1e6:,.1f} million {title}"
            for metric, title in (("params", "parameters"), ("macs", "multiply-adds"))
        )
        outside = 3 * self.patch_size**2 + (self.side // self.patch_size) ** 2 + self.num_classes
        return [
            f"- The smallest to the largest network: {spans}.",
            f"- A layer has about `embed_dim * ({4 * HEAD_DIM} * num_heads + 2 * mlp_ratio * "
            f"embed_dim) + {4 * TABLE_ROWS * HEAD_DIM}` parameters, and all the rest of the "
            f"network about `{outside} * embed_dim`.",
            "- embed_dim acts on all layers at once, and twice on their MLPs. num_heads alone sets "
            "the width of the attention, so that a narrow network can have a wide one.",
            "- Depth, width and both lists draw on one budget. The values of a list may differ "
            "from layer to layer.",
        ]

    def _uniform(self, pick: Callable[[Iterable[Any]], Any]) -> Architecture:
        """Build the architecture whose every gene is `pick(options)`, e.g. the largest."""
        return self.build({v.name: [pick(v.options)] * v.count for v in self.variables})


def _from_tuple(genes: list[Any]) -> Any:
    """Read `(depth, ratios…, heads…, width)`, if that is what it is."""
    depth = (len(genes) - 2) // 2
    if depth < 1 or len(genes) % 2 or genes[0] != depth:
        return genes
    ratios, heads = genes[1 : depth + 1], genes[depth + 1 : -1]
    return {"depth": genes[0], "embed_dim": genes[-1], "mlp_ratio": ratios, "num_heads": heads}


def _is_list(word: Word) -> bool:
    return word.variable.name in LISTS


def _doubled(ratio: object) -> int:
    return int(2 * cast(float, ratio))


def _wrong_gene(word: Word, written: Any, lengths: Sequence[int], reason: str) -> list[str]:
    """Say what is wrong with a value, or with a list; lists may have one of `lengths`."""
    if not _is_list(word):
        return _misfits(word, {word.label: written})
    rule = f"{word.label} must be a list of {' or '.join(map(str, lengths))} values, {reason}"
    if not isinstance(written, list):
        return [f"{rule}; got {shorten(written)}"]
    problems = [] if len(written) in lengths else [f"{rule}; got {len(written)} values"]
    places = {f"{word.label}[{i}]": value for i, value in enumerate(written[: max(lengths)])}
    return problems + _misfits(word, places)


def _misfits(word: Word, values: Mapping[str, Any]) -> list[str]:
    """Say which values, given by their places, are not options."""
    problems = []
    for place, value in values.items():
        try:
            word.read(value)
        except KeyError:
            problems.append(f"{place} must be one of {word.told()}, got {shorten(value)}")
    return problems


def _choices(size: str | Mapping[str, Sequence[float]], profile: str) -> Choices:
    return PROFILES[profile][size] if isinstance(size, str) else _own_choices(size)


def _own_choices(size: Mapping[str, Sequence[float]]) -> Choices:
    """Check options that are not published; a list of them must fit into a key, digit by digit."""
    names = ", ".join(STEPS)
    problems = [f"searchspace.size.{name} is missing" for name in STEPS if name not in size]
    problems += [
        f"searchspace.size.{name} is not known; there are {names}"
        for name in size
        if name not in STEPS
    ]
    for name, step in STEPS.items():
        most = (len(DIGITS) - 1) * step if name in LISTS else 10_000
        if name in size and not _are_options(size[name], step, most):
            problems.append(
                f"searchspace.size.{name} must be a list of different multiples of {step}, at "
                f"most {most}, got {size[name]!r}"
            )
    if problems:
        raise ValueError("\n".join(problems))
    options: dict[str, Any] = {name: tuple(size[name]) for name in STEPS}
    options["mlp_ratio"] = tuple(map(float, size["mlp_ratio"]))
    return Choices(**options)


def _are_options(options: Sequence[float], step: float, most: float) -> bool:
    kinds = (int,) if isinstance(step, int) else (int, float)
    fit = all(type(x) in kinds and 0 < x <= most and x % step == 0 for x in options)
    return fit and len({*options}) == len(options)
