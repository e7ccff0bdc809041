"""The accuracy of a subnet with the weights it inherits: extract, recalibrate, fold, measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed, Metrics
from collm_nas.data.pixels import PixelFormat
from collm_nas.evaluator.batchnorm import batch_norms, fold_batch_norms, recalibrate
from collm_nas.evaluator.images import Images, ProtocolImages
from collm_nas.evaluator.pool import in_order
from collm_nas.evaluator.protocol import Precision
from collm_nas.evaluator.single_precision import ieee_single_precision
from collm_nas.spaces.supernet import Supernet

BATCH = {"cpu": 32, "cuda": 500}  # images of a forward pass, by device


@dataclass(frozen=True)
class Accuracy:
    """In percent; `top5` is 100 where there are five classes or fewer."""

    top1: float
    top5: float
    images: int


def inherited_accuracy(
    supernet: Supernet, arch: Architecture, size: int, images: ProtocolImages, threads: int = 1
) -> Metrics:
    """Measure `arch` with the weights it inherits, as the protocol of `images` says.

    Searches, validations of a training and reports all call this. The supernet is not changed.

    Args:
        size: side of the images in pixels.
        threads: how many batches are computed, and missing images decoded, at a time; it changes
            no result. See `in_order`.

    Returns:
        The protocol's objective and its top-5, e.g. `{"val_accuracy": 71.3, "val_top5": 90.2}`.

    Raises:
        EvaluationFailed: the network computes numbers that are not finite.
    """
    subnet = calibrated_subnet(supernet, arch, size, images, threads)
    objective, precision = images.protocol.objective, images.protocol.precision
    found = measure(subnet, images.ranking(size, threads), images.pixels, precision, threads)
    return {objective: found.top1, objective.replace("accuracy", "top5"): found.top5}


@ieee_single_precision()
def calibrated_subnet(
    supernet: Supernet, arch: Architecture, size: int, images: ProtocolImages, threads: int = 1
) -> nn.Module:
    """Extract `arch` with batch-norm statistics of its own, folded and ready to be measured."""
    subnet, protocol = supernet.extract(arch).eval(), images.protocol
    if protocol.bn != "none" and batch_norms(subnet):
        calibration = images.calibration(size, threads)
        batches = calibration.batches(protocol.bn_batch, images.pixels, _device(subnet))
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
