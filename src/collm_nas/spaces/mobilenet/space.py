"""The once-for-all MobileNetV3 space (Cai et al., 2020, https://arxiv.org/abs/1908.09791).

Five stages of up to four inverted-residual blocks: the depth is chosen per stage, kernel size and
expansion ratio per block, the image resolution for the whole network. A tiny version for
experiments on a CPU is the same code with smaller arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, cast

from annotated_types import Ge, Gt, Le, MinLen

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count
from collm_nas.spaces.base import BYTES_PER_VALUE, Costs, SearchSpace, Variable
from collm_nas.spaces.mobilenet.costs import (
    TUTORIAL_RESOLUTIONS,
    TUTORIAL_WIDTH,
    CostTable,
    Counts,
)
from collm_nas.spaces.mobilenet.published import PUBLISHED
from collm_nas.spaces.mobilenet.skeleton import BASE_WIDTHS, Block, Skeleton

CHOICES = {"d": (2, 3, 4), "ks": (3, 5, 7), "e": (3, 4, 6)}

ImageSize = Annotated[int, Ge(8), Le(10_000)]  # side in pixels


@checked
class MobileNet(SearchSpace):
    """The subnets of a once-for-all MobileNetV3.

    Samples are uniform over the encodings, as in the original code: every gene is drawn
    uniformly, even one that turns out inactive, so depths are uniform and a given shallow network
    is drawn more often than a given deep one.

    Args:
        width: the width multiplier; the published supernets have 1.0 and 1.2.
        resolutions: the image sizes to choose from, in pixels.
        base_widths: channels before the multiplier, see `BASE_WIDTHS`; fewer stages make a
            smaller network for smaller images.
        choices: the depths `d`, kernel sizes `ks` and expansion ratios `e` to choose from.

    Raises:
        ValueError: the arguments make no network; all the problems at once.
    """

    name = "mobilenet"
    supernet = "collm_nas.spaces.mobilenet.supernet:OFASupernet"
    published = PUBLISHED
    takes_any_size = True

    def __init__(
        self,
        width: Annotated[float, Gt(0), Le(100)] = 1.2,
        resolutions: Annotated[Sequence[ImageSize], MinLen(1)] = TUTORIAL_RESOLUTIONS,
        num_classes: Count = 1000,
        base_widths: Sequence[Annotated[int, Ge(1), Le(65_536)]] = BASE_WIDTHS,
        choices: Mapping[str, Sequence[Annotated[int, Ge(1), Le(9)]]] = CHOICES,
    ) -> None:
        problems = _wrong_numbers("resolutions", resolutions, range(8, 10_000))
        if not 5 <= len(base_widths) <= len(BASE_WIDTHS):
            problems.append(
                "searchspace.base_widths must be 5 to 9 numbers of channels (stem, block 0, one to "
                f"five stages, final expansion, feature mix), got {list(base_widths)}"
            )
        if {*choices} == {*CHOICES}:
            digits = {"d": range(1, 10), "ks": range(1, 10, 2), "e": range(1, 10)}  # for keys
            for name, allowed in digits.items():
                problems += _wrong_numbers(f"choices.{name}", choices[name], allowed)
        else:
            problems.append(
                f"searchspace.choices must have the keys {list(CHOICES)}, got {list(choices)}"
            )
        if problems:
            raise ValueError("\n".join(problems))
        self.resolutions = tuple(resolutions)
        self.depths, self.kernels, self.expansions = (tuple(choices[name]) for name in CHOICES)
        self.num_classes = num_classes
        self.skeleton = Skeleton(tuple(base_widths), float(width), num_classes, max(self.depths))
        variables = [
            Variable("r", self.resolutions),
            Variable("d", self.depths, len(self.skeleton.stages)),
            Variable("ks", self.kernels, len(self.skeleton.slots)),
            Variable("e", self.expansions, len(self.skeleton.slots)),
        ]
        super().__init__(variables)
        self._tables = {
            r: CostTable.of(self.skeleton, r, self.kernels, self.expansions) for r in resolutions
        }
        tutorial = Skeleton(BASE_WIDTHS, TUTORIAL_WIDTH, 1000, self.skeleton.max_depth)
        self._in_tutorial = self.skeleton == tutorial and {*resolutions} <= {*TUTORIAL_RESOLUTIONS}

    @property
    def identity(self) -> str:
        """Name what the weights of a supernet depend on, e.g. `mobilenet-w1.2-c1000`."""
        identity = f"{self.name}-w{self.skeleton.width}-c{self.num_classes}"
        choices = (self.depths, self.kernels, self.expansions)
        if self.skeleton.base_widths == BASE_WIDTHS and choices == tuple(CHOICES.values()):
            return identity
        d, k, e = ("".join(map(str, options)) for options in choices)
        return f"{identity}-b{'.'.join(map(str, self.skeleton.base_widths))}-d{d}-k{k}-e{e}"

    def canonical(self, arch: Architecture) -> Architecture:
        """Set the kernel and expansion genes of inactive blocks to 0."""
        depths = cast(tuple[int, ...], arch["d"])
        active = [slot.position < depths[slot.stage] for slot in self.skeleton.slots]
        kernels, expansions = (
            tuple(gene if is_active else 0 for gene, is_active in zip(genes, active, strict=True))
            for genes in (arch["ks"], arch["e"])
        )
        return Architecture((("r", arch["r"]), ("d", depths), ("ks", kernels), ("e", expansions)))

    def size(self) -> int:
        """Count the networks: the genes of inactive blocks multiply nothing."""
        per_block = len(self.kernels) * len(self.expansions)
        per_stage = sum(per_block**depth for depth in self.depths)
        size: int = len(self.resolutions) * per_stage ** len(self.skeleton.stages)
        return size

    def resolution(self, arch: Architecture) -> int:
        """Return the side of the images that `arch` is made for, in pixels."""
        return cast(int, arch["r"][0])

    def image_sizes(self) -> tuple[int, ...]:
        """List the resolutions, in pixels."""
        return self.resolutions

    def active_blocks(self, arch: Architecture) -> list[Block]:
        """List the blocks that `arch` runs, first to last."""
        genes = zip(self.skeleton.slots, arch["ks"], arch["e"], strict=True)
        return [Block(slot, cast(int, k), cast(int, e)) for slot, k, e in genes if k]

    def block_names(self, arch: Architecture) -> list[str]:
        """See `SearchSpace`: all but the fixed first block, e.g. `r224/0:k3-e6`."""
        r = self.resolution(arch)
        blocks = self.active_blocks(arch)
        return [f"r{r}/{b.slot.index}:k{b.kernel}-e{b.expansion}" for b in blocks]

    def published_within(self) -> dict[str, Architecture]:
        """See `SearchSpace`; networks of another width are others."""
        return {
            name: arch
            for name, arch in super().published_within().items()
            if self.published[name].settings["width"] == self.skeleton.width
        }

    def costs(self, arch: Architecture) -> Costs:
        """Return `macs`, `params` and, where it is defined, `tutorial_flops`; all are counts.

        `macs` are those of convolutions and linear layers at their true sizes. `tutorial_flops`
        is the convention of the original's tutorial and of CoLLM-NAS, defined for the published
        network of width 1.2 at the resolutions 160 to 224 in steps of 16.
        """
        counts = self._counts(arch)
        costs: Costs = {"macs": counts.macs, "params": counts.params}
        if self._in_tutorial:
            costs["tutorial_flops"] = float(counts.tutorial)
        return costs

    def activation_bytes(self, arch: Architecture) -> int:
        return BYTES_PER_VALUE * self._counts(arch).activations

    def _counts(self, arch: Architecture) -> Counts:
        table = self._tables[cast(int, arch["r"][0])]
        return table.total(zip(arch["ks"], arch["e"], strict=True))

    def cost_range(self, metric: str) -> tuple[float, float] | None:
        """See `SearchSpace`: every cost grows with every gene."""
        least, most = self._extreme_costs(min), self._extreme_costs(max)
        return (least[metric], most[metric]) if metric in least else None

    def transcribe(self, written: Any) -> Any:
        """See `SearchSpace`: once-for-all writes `{"wid": None, "ks": …, "e": …, "d": …, "r": …}`.

        Its predictor calls the resolution `image_size`, and both write it without brackets, too.
        """
        if not isinstance(written, dict):
            return written
        unused = "wid" in written and written["wid"] in (None, "None")
        names = {"image_size": "r"} if "r" not in written else {}
        wire = {names.get(k, k): v for k, v in written.items() if not (k == "wid" and unused)}
        is_bare = "r" in wire and not isinstance(wire["r"], list)
        return {**wire, "r": [wire["r"]]} if is_bare else wire

    def _extreme_costs(self, extreme: Callable[[Any], Any]) -> Costs:
        return self.costs(
            self.build({v.name: [extreme(v.options)] * v.count for v in self.variables})
        )


def _wrong_numbers(place: str, numbers: Sequence[int], allowed: range) -> list[str]:
    if numbers and {*numbers} <= {*allowed} and sorted({*numbers}) == list(numbers):
        return []
    odd = " odd" if allowed.step == 2 else ""
    return [
        f"searchspace.{place} must be{odd} numbers from {allowed[0]} to {allowed[-1]}, ascending "
        f"without repeats, got {list(numbers)}"
    ]
