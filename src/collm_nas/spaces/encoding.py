"""Architectures as numbers, for what learns from them: which option each gene takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.format import Variable

Features = NDArray[np.float64]  # (architectures, options of all genes)

INACTIVE = -1


def gene_variables(variables: Iterable[Variable]) -> list[Variable]:
    """List the variable of each gene, in the order of `option_indices`."""
    return [v for v in variables for _ in range(v.count)]


def option_indices(variables: Iterable[Variable], arch: Architecture) -> list[int]:
    """Return the position of each gene among its options; `INACTIVE` where it plays no part."""
    indices = []
    for v in variables:
        values = arch[v.name]
        present = [v.options.index(g) if g in v.options else INACTIVE for g in values]
        indices += present + [INACTIVE] * (v.count - len(values))
    return indices


def one_hot(variables: Sequence[Variable], archs: Sequence[Architecture]) -> Features:
    """Encode each gene by one column per option; inactive genes are all zero."""
    sizes = [len(v.options) for v in gene_variables(variables)]
    first_columns = np.concatenate([[0], np.cumsum(sizes)])
    features = np.zeros((len(archs), first_columns[-1]))
    for row, arch in zip(features, archs, strict=True):
        indices = np.array(option_indices(variables, arch))
        active = indices != INACTIVE
        row[first_columns[:-1][active] + indices[active]] = 1
    return features
