"""The accuracy of a subnet with the weights it inherits: extract, recalibrate, fold, measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed
from collm_nas.data.pixels import PixelFormat
from collm_nas.evaluator.batchnorm import fold_batch_norms, recalibrate
from collm_nas.evaluator.parallel import in_order
from collm_nas.evaluator.protocol import Precision, Protocol
from collm_nas.evaluator.single_precision import ieee_single_precision
from collm_nas.spaces.supernet import Supernet

BATCH = {"cpu": 32, "cuda": 500}  # images of a forward pass, by device


@dataclass(frozen=True)
class Images:
    """Decoded images of one size: bytes (N, H, W, 3), and labels (N,)."""

    pixels_NHWC: Tensor
    labels: Tensor

    def batches(
        self, size: int, pixels: PixelFormat, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield network inputs (N, 3, H, W) in channels-last layout, and their labels."""
        for start in range(0, len(self.labels), size):
            x_NHWC = self.pixels_NHWC[start : start + size].to(device)
            labels = self.labels[start : start + size].to(device)
            yield pixels.apply(x_NHWC.permute(0, 3, 1, 2)), labels


@dataclass(frozen=True)
class Accuracy:
    """In percent; `top5` is 100 where there are five classes or fewer."""

    top1: float
    top5: float
    images: int


@ieee_single_precision()
def calibrated_subnet(
    supernet: Supernet,
    arch: Architecture,
    protocol: Protocol,
    pixels: PixelFormat,
    calibration: Images,
    threads: int = 1,
) -> nn.Module:
    """Extract `arch` with batch-norm statistics of its own, ready to be measured.

    The supernet is not changed. For `threads` see `in_order`.
    """
    subnet = supernet.extract(arch).eval()
    if protocol.bn != "none":
        batches = calibration.batches(protocol.bn_batch, pixels, _device(subnet))
        recalibrate(subnet, (x_NCHW for x_NCHW, _ in batches), protocol.bn, threads)
    fold_batch_norms(subnet)
    return subnet


@ieee_single_precision()
def measure(
    subnet: nn.Module,
    images: Images,
    pixels: PixelFormat,
    precision: Precision = "float32",
    threads: int = 1,
) -> Accuracy:
    """Count how often the right class is first, and among the first five.

    The result does not depend on `threads`; see `in_order`.

    Raises:
        EvaluationFailed: the network computes numbers that are not finite.
    """
    device = _device(subnet)
    dtype = getattr(torch, precision)

    @torch.inference_mode()
    def hits(batch: tuple[Tensor, Tensor]) -> tuple[int, int]:
        x_NCHW, labels = batch
        with torch.autocast(device.type, dtype=dtype, enabled=precision != "float32"):
            logits = subnet(x_NCHW)
        if not logits.isfinite().all():
            raise EvaluationFailed("its logits are not finite: the weights do not fit each other")
        right = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        return int(right[:, 0].sum()), int(right.sum())

    counts = list(in_order(hits, images.batches(BATCH[device.type], pixels, device), threads))
    total = len(images.labels)
    first, fifth = (sum(column) for column in zip(*counts, strict=True))
    return Accuracy(100 * first / total, 100 * fifth / total, total)


def _device(subnet: nn.Module) -> torch.device:
    return next(subnet.parameters()).device
