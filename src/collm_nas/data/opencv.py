"""OpenCV's bilinear resize of bytes (`INTER_LINEAR`), without OpenCV: equal to the last bit.

Between the centres of the nearest pixels and without antialiasing, in the integer arithmetic of
OpenCV (modules/imgproc/src/resize.cpp): weights in 2048ths, and a vertical pass that truncates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ONE = 2048  # a weight of 1

Integers = NDArray[np.int64]


def resize(image_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the image (height, width, channels)."""
    rows, columns = image_HWC.shape[:2]
    left, weight = _places(columns, width)
    outside = (left < 0) | (left >= columns - 1)  # there, the border pixel alone counts
    left, weight = left.clip(0, columns - 1), np.where(outside, 0, weight)
    right, weight_WC = (left + 1).clip(0, columns - 1), weight[:, None]
    source = image_HWC.astype(np.int32)
    wide = source[:, left] * (ONE - weight_WC) + source[:, right] * weight_WC

    top, weight = _places(rows, height)
    above, below = wide[top.clip(0, rows - 1)], wide[(top + 1).clip(0, rows - 1)]
    weight_HWC = weight[:, None, None]
    mixed = ((above >> 4) * (ONE - weight_HWC) >> 16) + ((below >> 4) * weight_HWC >> 16)
    resized: NDArray[np.uint8] = ((mixed + 2) >> 2).astype(np.uint8)
    return resized


def _places(old: int, new: int) -> tuple[Integers, Integers]:
    """Return, for each new pixel, the old one before its centre, and the weight of the next."""
    centres = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    before = np.floor(centres)
    return before.astype(np.int64), np.rint((centres - before) * ONE).astype(np.int64)
