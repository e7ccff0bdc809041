"""Batch-norm statistics of a subnet, which no supernet can bequeath.

The running statistics of a supernet are a mixture over all the subnets it was trained with, and
with them a subnet is near chance. Two published estimators replace them by the subnet's own: the
exact mean over calibration batches (Cai et al., 2020, https://arxiv.org/abs/1908.09791) and the
moving average of ordinary training (Guo et al., 2020, https://arxiv.org/abs/1904.00420).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Estimator = Literal["exact", "ema"]


@torch.no_grad()
def recalibrate(
    model: nn.Module, batches: Iterable[Tensor], estimator: Estimator = "exact"
) -> None:
    """Replace the running statistics of all batch norms of `model` by those of `batches`.

    While collecting, every batch norm normalises with the statistics of the batch at hand, and
    everything else runs as in evaluation. A model without batch norms is left alone.

    Args:
        model: a plain module of the caller's own, changed in place.
        batches: images (N, C, H, W), on the model's device.
        estimator: `exact` averages means and biased variances, batches weighted by their size;
            `ema` starts from mean 0 and variance 1 and follows with each batch norm's momentum.

    Raises:
        ValueError: there are no batches, or no such estimator.
    """
    norms = _batch_norms(model)
    if not norms:
        return
    was_training = model.training
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
    match estimator:
        case "exact":
            images = _average(model, norms, batches)
        case "ema":
            images = _run(model, batches)
        case _:
            raise ValueError(f"estimator must be exact or ema, got {estimator!r}")
    model.train(was_training)
    if not images:
        raise ValueError("no images to calibrate the batch norms with")


def fold_batch_norms(model: nn.Module) -> None:
    """Merge every batch norm that follows a convolution in a sequence into it, for evaluation.

    The outputs stay the same; on a CPU they come about 1.5 times as fast. `model` must be in
    evaluation mode, is changed in place, and cannot be trained or recalibrated afterwards.
    """
    assert not model.training
    for parent in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for (name, conv), (following, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, following, nn.Identity())


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def _run(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Run all batches; return how many images they held."""
    images = 0
    for batch in batches:
        model(batch)
        images += len(batch)
    return images


def _average(model: nn.Module, norms: Sequence[nn.BatchNorm2d], batches: Iterable[Tensor]) -> int:
    """Like `_run`; afterwards each batch norm has the average statistics of its inputs."""
    sums = [_Sums(norm) for norm in norms]
    hooks = [norm.register_forward_hook(total.add) for norm, total in zip(norms, sums, strict=True)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # after a batch, the running statistics are those of this batch
    images = _run(model, batches)
    for norm, total, hook, momentum in zip(norms, sums, hooks, momenta, strict=True):
        hook.remove()
        norm.momentum = momentum
        total.write(norm, images)
    return images


class _Sums:
    """Statistics of one batch norm, each batch counted as often as it has images."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.mean, self.var = (torch.zeros_like(t, dtype=torch.float32) for t in _statistics(norm))

    def add(self, norm: nn.BatchNorm2d, inputs: object, output_NCHW: Tensor) -> None:
        """Add the batch that `norm` has just normalised."""
        mean, var = _statistics(norm)
        images, values = len(output_NCHW), output_NCHW[:, 0].numel()
        self.mean += images * mean
        self.var += images * var * (values - 1) / values  # torch keeps the unbiased variance

    def write(self, norm: nn.BatchNorm2d, images: int) -> None:
        """Give `norm` the averages over all batches."""
        mean, var = _statistics(norm)
        mean.copy_(self.mean / max(images, 1))
        var.copy_(self.var / max(images, 1))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
