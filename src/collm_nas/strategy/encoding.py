"""Architectures as numbers, for the strategies that learn: which option each gene takes."""

from __future__ import annotations

from collm_nas.architecture import Architecture
from collm_nas.searchspace.base import SearchSpace, Variable

INACTIVE = -1


def gene_variables(space: SearchSpace) -> list[Variable]:
    """List the variable of each gene, in the order of `option_indices`."""
    return [v for v in space.variables for _ in range(v.count)]


def option_indices(space: SearchSpace, arch: Architecture) -> list[int]:
    """Return the position of each gene among its options; `INACTIVE` where it plays no part."""
    indices = []
    for v in space.variables:
        values = arch[v.name]
        present = [v.options.index(g) if g in v.options else INACTIVE for g in values]
        indices += present + [INACTIVE] * (v.count - len(values))
    return indices
