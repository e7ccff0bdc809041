"""The latency of once-for-all subnets on a phone, summed from the original's tables of blocks.

Cai et al. (2020, https://arxiv.org/abs/1908.09791) searched for the Samsung Note10 with a table for
each resolution, `160_lookup_table.yaml` to `224_lookup_table.yaml`
(https://github.com/han-cai/files, folder ofa/note10): milliseconds of every layer, of which those
of a network are added. Their channels are those of the width multiplier 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet.skeleton import BlockSlot, Skeleton, hidden_width
from collm_nas.spaces.mobilenet.space import MobileNet

Table = Mapping[str, float]  # name of a layer -> ms


@checked
class OFALookup:
    """Adds `latency_ms`, the sum over the layers of a network, to the closed-form costs.

    Args:
        space: `MobileNet`, of a width and resolutions that the tables have.
        tables: the folder with a file `R_lookup_table.yaml` for each resolution R of the space.

    Raises:
        ValueError: another space, a table that is missing, or layers that a table lacks.
    """

    def __init__(self, space: SearchSpace, tables: Text) -> None:
        if not isinstance(space, MobileNet):
            raise ValueError(f"hardware=ofa_lookup is for searchspace=mobilenet, got {space.name}")
        self.space = space
        folder = Path(tables).expanduser()
        self.fixed: dict[int, float] = {}
        self.blocks: dict[tuple[int, int, int, int], float] = {}  # resolution, slot, kernel, ratio
        for resolution in space.resolutions:
            path = folder / f"{resolution}_lookup_table.yaml"
            self._add(resolution, _Layers(path, _read(path)))

    def costs(self, arch: Architecture) -> Metrics:
        """See `CostModel`."""
        return {**self.space.costs(arch), "latency_ms": self.latency_ms(arch)}

    def latency_ms(self, arch: Architecture) -> float:
        """Return the sum over all layers, in milliseconds."""
        r = self.space.resolution(arch)
        chosen = self.space.active_blocks(arch)
        return self.fixed[r] + sum(
            self.blocks[r, b.slot.index, b.kernel, b.expansion] for b in chosen
        )

    def _add(self, resolution: int, layers: _Layers) -> None:
        net, side = self.space.skeleton, _halve(resolution)
        stem_side = side
        for slot in net.slots:
            for kernel in self.space.kernels:
                for ratio in self.space.expansions:
                    name = _block(slot, side, kernel, ratio)
                    self.blocks[resolution, slot.index, kernel, ratio] = layers.ms(name)
            side = _halve(side) if slot.stride == 2 else side
        names = _fixed(net, resolution, stem_side, side)
        self.fixed[resolution] = sum(layers.ms(name) for name in names)
        layers.check()


class _Layers:
    """The layers of one table, and which ones were asked for in vain."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path = path
        self.table = table
        self.missing: list[str] = []

    def ms(self, name: str) -> float:
        if name not in self.table:
            self.missing.append(name)
        return self.table.get(name, 0.0)

    def check(self) -> None:
        if self.missing:
            raise ValueError(
                f"{self.path} lacks {len(self.missing)} layers of the space, such as "
                f"{self.missing[0]}. Its width or its choices are others than those of "
                "searchspace.width and searchspace.choices."
            )


def _read(path: Path) -> Table:
    if not path.exists():
        raise ValueError(
            f"{path} is missing: hardware.tables needs a table for each of searchspace.resolutions"
        )
    content = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
    return {name: float(entry["mean"]) for name, entry in content.items()}


def _halve(side: int) -> int:
    return (side - 1) // 2 + 1


def _shape(side: int, channels: int) -> str:
    return f"{side}x{side}x{channels}"


def _block(slot: BlockSlot, side: int, kernel: int, ratio: int) -> str:
    out_side = _halve(side) if slot.stride == 2 else side
    return _expanded(
        (_shape(side, slot.in_channels), _shape(out_side, slot.out_channels)),
        hidden_width(slot.in_channels, ratio),
        (kernel, slot.stride),
        (slot.has_shortcut, slot.squeeze_excite, slot.activation == "h_swish"),
    )


def _expanded(
    shapes: tuple[str, str], hidden: int, conv: tuple[int, int], flags: tuple[bool, bool, bool]
) -> str:
    shortcut, squeeze_excite, h_swish = map(int, flags)
    return (
        f"expanded_conv-input:{shapes[0]}-output:{shapes[1]}-expand:{hidden}-kernel:{conv[0]}-"
        f"stride:{conv[1]}-idskip:{shortcut}-se:{squeeze_excite}-hs:{h_swish}"
    )


def _fixed(net: Skeleton, resolution: int, stem_side: int, side: int) -> list[str]:
    stem, first, *_, last, expand, mix = net.widths
    at_stem = (_shape(stem_side, stem), _shape(stem_side, first))
    return [
        f"Conv-input:{_shape(resolution, 3)}-output:{at_stem[0]}",
        _expanded(at_stem, stem, (3, 1), (stem == first, False, False)),
        f"Conv_1-input:{_shape(side, last)}-output:{_shape(side, expand)}",
        f"AvgPool2D-input:{_shape(side, expand)}-output:{_shape(1, expand)}",
        f"Conv_2-input:{_shape(1, expand)}-output:{_shape(1, mix)}",
        f"Logits-input:{_shape(1, mix)}-output:{net.num_classes}",
    ]
