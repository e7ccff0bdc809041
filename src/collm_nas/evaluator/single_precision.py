"""Single precision as the sources computed it: GPUs since Ampere would round it to TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def ieee_single_precision() -> Iterator[None]:
    """Compute convolutions and products of matrices without TF32 while the block runs.

    By default torch keeps 10 of the 23 bits of a factor in convolutions (cuDNN), and all of them in
    products of matrices. Autocast to half precision and CPUs are not concerned. The flags are those
    that Lightning reads, too; torch refuses to mix them with the newer `fp32_precision`.
    https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
