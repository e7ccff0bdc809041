"""AutoFormer (Chen et al., 2021, https://arxiv.org/abs/2107.00651): vision transformers.

One depth and one embedding width for the network, and for every layer its number of attention
heads and the width of its MLP. Heads are 64 wide whatever the embedding, and all layers have
relative positions on keys and values: the configuration of the released weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, cast

from annotated_types import MinLen

from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Positive, Side, one_of
from collm_nas.spaces.autoformer.costs import (
    HEAD_DIM,
    STEP,
    ExactSampler,
    Totals,
    costs_of,
)
from collm_nas.spaces.autoformer.published import PUBLISHED
from collm_nas.spaces.base import (
    BYTES_PER_VALUE,
    Bounds,
    Costs,
    SearchSpace,
    Variable,
    describe,
    ranges,
)

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
        resolution: Side = 224,
        patch_size: Side = 16,
        num_classes: Count = 1000,
    ) -> None:
        self.choices = c = PROFILES[profile][size] if isinstance(size, str) else _own(size)
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
            Variable("depth", c.depth, bare=True),
            Variable("embed_dim", c.embed_dim, bare=True),
            Variable("mlp_ratio", c.mlp_ratio, layers, length="depth"),
            Variable("num_heads", c.num_heads, layers, length="depth"),
        ]
        super().__init__(variables)
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
        return costs_of(totals, self.side, self.patch_size, self.num_classes)

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


def _doubled(ratio: object) -> int:
    return int(2 * cast(float, ratio))


def _own(size: Mapping[str, Sequence[float]]) -> Choices:
    """Check options that are not published; a list of them must fit into a key, digit by digit."""
    names = ", ".join(STEPS)
    problems = [f"searchspace.size.{name} is missing" for name in STEPS if name not in size]
    problems += [
        f"searchspace.size.{name} is not known; there are {names}"
        for name in size
        if name not in STEPS
    ]
    for name, options in size.items():
        step = STEPS.get(name, 1)
        most = (len(DIGITS) - 1) * step if name in LISTS else 10_000
        kinds = (int,) if isinstance(step, int) else (int, float)
        fit = all(type(x) in kinds and 0 < x <= most and x % step == 0 for x in options)
        if name in STEPS and not (fit and len({*options}) == len(options)):
            problems.append(
                f"searchspace.size.{name} must be a list of different multiples of {step}, at "
                f"most {most}, got {options!r}"
            )
    if problems:
        raise ValueError("\n".join(problems))
    chosen: dict[str, Any] = {name: tuple(size[name]) for name in STEPS}
    chosen["mlp_ratio"] = tuple(map(float, size["mlp_ratio"]))
    return Choices(**chosen)
