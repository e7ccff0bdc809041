"""How long one image takes on this machine."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

WARM_UP, RUNS = 3, 15


@torch.inference_mode()
def latency_ms(subnet: nn.Module, size: int) -> float:
    """Return the median time of a forward pass of one image on one CPU thread, in milliseconds."""
    images = torch.zeros(1, 3, size, size)
    subnet = subnet.cpu()
    torch.set_num_threads(1)
    times = []
    for _ in range(WARM_UP + RUNS):
        start = time.perf_counter()
        subnet(images)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARM_UP:])
