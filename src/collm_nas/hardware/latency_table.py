"""Latency as a sum over blocks, looked up in a table that was measured once on a device.

The additive model of hardware-aware search (Cai et al., 2019, https://arxiv.org/abs/1812.00332):
`python -m collm_nas.hardware.build_table` measures the table and says how far it is off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text
from collm_nas.spaces.base import SearchSpace


@checked
class LatencyTable:
    """Adds `latency_ms`, the sum over the blocks of a network, to the closed-form costs.

    Args:
        space: one with `block_names`, as it was when the table was built.
        table: a JSON file of `build_table`.

    Raises:
        ValueError: another space, or no such table.
    """

    def __init__(self, space: SearchSpace, table: Text) -> None:
        self.space = space
        path = Path(table).expanduser()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            built_for = content["space"]
            self.fixed: dict[str, float] = content["fixed"]
            self.blocks: dict[str, float] = content["blocks"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"hardware.table: {path} is no table of blocks ({type(error).__name__}: {error}). "
                "python -m collm_nas.hardware.build_table makes one"
            ) from error
        needed = {name for arch in covering(space) for name in space.block_names(arch)}
        sides = {str(space.resolution(arch)) for arch in covering(space)}
        if built_for != space.identity:
            raise ValueError(
                f"hardware.table: {path} was built for {built_for}, not for {space.identity}: the "
                "same block takes another time there. python -m collm_nas.hardware.build_table "
                "makes one"
            )
        if missing := sorted(needed - {*self.blocks}) + sorted(sides - {*self.fixed}):
            raise ValueError(
                f"hardware.table: {path} lacks {len(missing)} blocks of {space.identity}, such as "
                f"{missing[0]}; it was built for other image sizes or choices"
            )

    def costs(self, arch: Architecture) -> Metrics:
        return {**self.space.costs(arch), "latency_ms": self.latency_ms(arch)}

    def latency_ms(self, arch: Architecture) -> float:
        """Return what all networks of this resolution have in common, and the blocks."""
        blocks = sum(self.blocks[name] for name in self.space.block_names(arch))
        return self.fixed[str(self.space.resolution(arch))] + blocks


def covering(space: SearchSpace) -> Iterator[Architecture]:
    """Yield architectures of equal choices throughout, few that together have every block.

    Raises:
        ValueError: the networks of the space are no chain of blocks.
    """
    seen: set[str] = set()
    for genes in product(*(v.options[::-1] for v in space.variables)):
        chosen = zip(space.variables, genes, strict=True)
        arch = space.build({v.name: [option] * v.count for v, option in chosen})
        blocks = {*space.block_names(arch)}
        if not blocks <= seen:
            seen |= blocks
            yield arch
