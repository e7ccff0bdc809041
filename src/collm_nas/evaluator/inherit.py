"""The accuracy of a subnet with the weights it inherits: extract, recalibrate, fold, measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from collm_nas.architecture import Architecture
from collm_nas.data.pixels import PixelFormat
from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.evaluator.protocol import Protocol
from collm_nas.supernet.base import Supernet


@dataclass(frozen=True)
class Images:
    """Decoded images of one size, on the device that evaluates: bytes (N, H, W, 3), labels (N,)."""

    pixels_NHWC: Tensor
    labels: Tensor

    def batches(self, size: int, pixels: PixelFormat) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield network inputs (N, 3, H, W) in channels-last layout, and their labels."""
        for start in range(0, len(self.labels), size):
            x_NCHW = self.pixels_NHWC[start : start + size].permute(0, 3, 1, 2)
            yield pixels.apply(x_NCHW), self.labels[start : start + size]


@dataclass(frozen=True)
class Accuracy:
    """In percent; `top5` is 100 where there are five classes or fewer."""

    top1: float
    top5: float
    images: int


def calibrated_subnet(
    supernet: Supernet,
    arch: Architecture,
    protocol: Protocol,
    pixels: PixelFormat,
    calibration: Images,
) -> nn.Module:
    """Extract `arch` with batch-norm statistics of its own, ready to be measured.

    The supernet is not changed.
    """
    subnet = supernet.extract(arch).eval()
    if protocol.bn != "none":
        inputs = (x for x, _ in calibration.batches(protocol.bn_batch, pixels))
        recalibrate(subnet, inputs, protocol.bn)
    fold_batch_norms(subnet)
    return subnet


@torch.inference_mode()
def measure(
    subnet: nn.Module,
    images: Images,
    pixels: PixelFormat,
    batch: int = 256,
    precision: str = "float32",
) -> Accuracy:
    """Count how often the right class is first, and among the first five."""
    device, dtype = images.labels.device.type, getattr(torch, precision)
    first = fifth = 0
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        for x_NCHW, labels in images.batches(batch, pixels):
            logits = subnet(x_NCHW)
            hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            first += int(hits[:, 0].sum())
            fifth += int(hits.sum())
    total = len(images.labels)
    return Accuracy(100 * first / total, 100 * fifth / total, total)
