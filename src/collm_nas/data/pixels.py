"""How pixels are given to a network: how they are scaled to size, their order and their range.

Weights know one format only, and with another range they are near chance: a checkpoint names its
format, and released weights have that of their authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from collm_nas.core.ranges import one_of
from collm_nas.data.view import Interpolation


@dataclass(frozen=True)
class PixelFormat:
    """`(pixel - mean) / std`, with means and deviations of pixels from 0 to 255 in RGB order.

    `interpolation` is how evaluation scales an image to size before that; see `View`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    interpolation: Interpolation = "bilinear"

    def apply(self, pixels_NCHW: Tensor) -> Tensor:
        """Turn bytes in RGB order (N, 3, H, W) into what the network takes; the layout is kept."""
        x = pixels_NCHW.float()
        shape = (1, 3, 1, 1)
        x = x.sub_(torch.tensor(self.mean, device=x.device).view(shape))
        x = x.div_(torch.tensor(self.std, device=x.device).view(shape))
        return x.flip(1) if self.bgr else x


IMAGENET = PixelFormat((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
FORMATS = {
    "imagenet": IMAGENET,
    "imagenet_bicubic": replace(IMAGENET, interpolation="bicubic"),  # AutoFormer
    "bgr_0_255": PixelFormat((0.0,) * 3, (1.0,) * 3, bgr=True, interpolation="opencv"),  # SPOS
    # as NAS-Bench-201 scales its data sets, each by its own pixels
    "cifar10": PixelFormat((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": PixelFormat((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet16-120": PixelFormat((122.68, 116.66, 104.01), (63.22, 61.26, 65.09)),
}
FORMATS["imagenet16"] = FORMATS["imagenet16-120"]  # its name in files of weights of before
PixelsName = Annotated[str, one_of(FORMATS)]


def pixel_format(name: str) -> PixelFormat:
    """Return the format of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"no pixel format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
