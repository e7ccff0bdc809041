"""A subnet for `torch.export.load`: PyTorch without any code of this project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from collm_nas.core.files import replacing
from collm_nas.export.check import largest_difference


def trace(subnet: nn.Module, size: int) -> ExportedProgram:
    """Trace `subnet` for images of `size` pixels, in batches of any number."""
    example = torch.zeros(2, 3, size, size)  # one image would be taken for a constant
    return torch.export.export(subnet, (example,), dynamic_shapes=({0: Dim("batch")},))


def save_program(
    path: Path, program: ExportedProgram, subnet: nn.Module, batches: Sequence[Tensor]
) -> float:
    """Write `program`, read it back and compare it; return the largest relative difference.

    Raises:
        ExportMismatch: it computes something else than `subnet`.
    """
    with replacing(path) as partial:
        torch.export.save(program, partial)
        read_back = torch.export.load(partial).module()
        return largest_difference(subnet, read_back, batches, path.name)
