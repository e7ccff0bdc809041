"""The latency of once-for-all subnets on a phone, summed from the original's tables of blocks.

Cai et al. (2020, https://arxiv.org/abs/1908.09791) searched for the Samsung Note10 with a table for
each resolution, `160_lookup_table.yaml` to `224_lookup_table.yaml`
(https://github.com/han-cai/files, folder ofa/note10): milliseconds of every layer, of which those
of a network are added. Their channels are those of the width multiplier 1.2.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet.skeleton import hidden_width
from collm_nas.spaces.mobilenet.space import MobileNet


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
        self.fixed: dict[int, float] = {}
        self.blocks: dict[tuple[int, int, int, int], float] = {}  # resolution, slot, kernel, ratio
        for resolution in space.resolutions:
            self._read(resolution, Path(tables).expanduser() / f"{resolution}_lookup_table.yaml")

    def costs(self, arch: Architecture) -> Metrics:
        return {**self.space.costs(arch), "latency_ms": self.latency_ms(arch)}

    def latency_ms(self, arch: Architecture) -> float:
        """Return the sum over all layers, in milliseconds."""
        r = self.space.resolution(arch)
        chosen = self.space.active_blocks(arch)
        return self.fixed[r] + sum(
            self.blocks[r, b.slot.index, b.kernel, b.expansion] for b in chosen
        )

    def _read(self, resolution: int, path: Path) -> None:
        if not path.exists():
            raise ValueError(
                f"{path} is missing: hardware.tables needs a table for each of "
                "searchspace.resolutions"
            )
        content = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
        table = {name: float(entry["mean"]) for name, entry in content.items()}
        net, stem_side = self.space.skeleton, _halve(resolution)
        side = stem_side
        blocks: dict[tuple[int, int, int, int], str] = {}
        for slot in net.slots:
            out_side = _halve(side) if slot.stride == 2 else side
            shapes = (_shape(side, slot.in_channels), _shape(out_side, slot.out_channels))
            flags = (slot.has_shortcut, slot.squeeze_excite, slot.activation == "h_swish")
            for kernel, ratio in product(self.space.kernels, self.space.expansions):
                hidden = hidden_width(slot.in_channels, ratio)
                name = _block(shapes, hidden, (kernel, slot.stride), flags)
                blocks[resolution, slot.index, kernel, ratio] = name
            side = out_side
        stem, first, *_, last, expand, mix = net.widths
        at_stem = (_shape(stem_side, stem), _shape(stem_side, first))
        fixed = [
            f"Conv-input:{_shape(resolution, 3)}-output:{at_stem[0]}",
            _block(at_stem, stem, (3, 1), (stem == first, False, False)),
            f"Conv_1-input:{_shape(side, last)}-output:{_shape(side, expand)}",
            f"AvgPool2D-input:{_shape(side, expand)}-output:{_shape(1, expand)}",
            f"Conv_2-input:{_shape(1, expand)}-output:{_shape(1, mix)}",
            f"Logits-input:{_shape(1, mix)}-output:{net.num_classes}",
        ]
        if missing := [name for name in (*blocks.values(), *fixed) if name not in table]:
            raise ValueError(
                f"{path} lacks {len(missing)} layers of the space, such as {missing[0]}. Its width "
                "or its choices are others than those of searchspace.width and "
                "searchspace.choices."
            )
        self.fixed[resolution] = sum(table[name] for name in fixed)
        self.blocks |= {key: table[name] for key, name in blocks.items()}


def _halve(side: int) -> int:
    return (side - 1) // 2 + 1


def _shape(side: int, channels: int) -> str:
    return f"{side}x{side}x{channels}"


def _block(
    shapes: tuple[str, str], hidden: int, conv: tuple[int, int], flags: tuple[bool, bool, bool]
) -> str:
    shortcut, squeeze_excite, h_swish = map(int, flags)
    return (
        f"expanded_conv-input:{shapes[0]}-output:{shapes[1]}-expand:{hidden}-kernel:{conv[0]}-"
        f"stride:{conv[1]}-idskip:{shortcut}-se:{squeeze_excite}-hs:{h_swish}"
    )
