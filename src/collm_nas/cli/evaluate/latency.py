"""How long one image takes on this machine."""

from __future__ import annotations

import torch
from torch import nn

from collm_nas.hardware.timing import Repetitions, time_calls

REPETITIONS = Repetitions(warmup=3, repeats=15, minimum_ms=1)


@torch.inference_mode()
def latency_ms(subnet: nn.Module, size: int) -> float:
    """Return the median time of a forward pass of one image on one CPU thread, in milliseconds."""
    images = torch.zeros(1, 3, size, size)
    network = subnet.cpu()
    torch.set_num_threads(1)
    (timing,) = time_calls([lambda: network(images)], REPETITIONS)
    return timing.median_ms
