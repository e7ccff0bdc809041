"""Whether an exported network computes what the original does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

TOLERANCE = 1e-4  # of the largest logit


class ExportMismatch(ValueError):
    """An exported network gives other outputs than the original."""


@torch.inference_mode()
def largest_difference(
    subnet: nn.Module, exported: Callable[[Tensor], Tensor], batches: Sequence[Tensor], name: str
) -> float:
    """Return by how much outputs differ at most, relative to the largest logit of each batch.

    Args:
        batches: preprocessed images (N, 3, H, W), of several sizes N.
        name: of the exported file, for the message.

    Raises:
        ExportMismatch: it is more than `TOLERANCE`.
    """
    worst = 0.0
    for x_NCHW in batches:
        expected, actual = subnet(x_NCHW), exported(x_NCHW)
        difference = float((actual - expected).abs().max() / expected.abs().max())
        if not difference <= TOLERANCE:  # also if it is no number
            raise ExportMismatch(
                f"{name} computes other logits than the network it was made of: by "
                f"{difference:.2g} of the largest one, more than {TOLERANCE:g}"
            )
        worst = max(worst, difference)
    return worst
