"""One reading of an image file for all that train and measure: whatever it is, as bytes in RGB.

Where nothing is known of a colour, torchvision's reading is kept, which all published accuracies
rest on: transparency is dropped, and of an animation or of several pages the first is seen.
"""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # of EXIF, and below those of TIFF
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
DAMAGED_EXIF = (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image, upright: bool = False) -> Image.Image:
    """Return an opened image in RGB, 8 bits a channel.

    Grey of 16 bits is scaled; Pillow alone makes it white.

    Args:
        upright: turn it as its EXIF orientation says.

    Raises:
        ValueError: its pixels are numbers of which nobody knows what is white.
    """
    image.load()
    turn = TURNS.get(orientation(image)) if upright else None
    grey = is_deep_grey(image) or image.mode in ("I", "F")
    rgb = _scaled(image) if grey else image.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def is_deep_grey(image: Image.Image) -> bool:
    """Tell whether the image is grey of 16 bits, or of 12."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation: 1 is upright, as is an image that says nothing sensible."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DAMAGED_EXIF:
        return 1
    return found if found in TURNS else 1


def _scaled(image: Image.Image) -> Image.Image:
    if not is_deep_grey(image):
        kind = "floating-point numbers" if image.mode == "F" else "whole numbers of 32 bits"
        raise ValueError(
            f"its pixels are {kind}, and which of them is white is not known: save it with 8 or "
            "16 bits a channel"
        )
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(BITS) == (12,) else 16
    shades = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        shades = 255 - shades
    return Image.fromarray(shades).convert("RGB")
