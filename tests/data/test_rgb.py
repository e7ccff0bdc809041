"""An image is right in RGB whatever it was, or it is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from collm_nas.data.rgb import TURNS, is_deep_grey, orientation, to_rgb

COLOUR = (204, 51, 0)  # of the usual palette
GREY = 120
FORMATS = {  # that hold a mode and are read from folders
    "1": ["PNG", "BMP", "PPM", "TIFF"],
    "L": ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"],
    "LA": ["PNG", "TIFF"],
    "P": ["PNG", "BMP", "TIFF"],
    "PA": ["TIFF"],
    "RGB": ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"],
    "RGBA": ["PNG", "BMP", "TIFF", "WEBP"],
    "RGBX": ["TIFF"],
    "CMYK": ["JPEG", "TIFF"],
    "YCbCr": ["JPEG", "TIFF"],
    "LAB": ["TIFF"],
    "I": ["TIFF", "PPM"],
    "I;16": ["PNG", "TIFF", "PPM"],
    "I;16B": ["PNG", "TIFF"],
    "F": ["TIFF"],
}


def stored(image: Image.Image, kind: str, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def of_mode(mode: str) -> Image.Image:
    if mode in ("I", "F", "I;16", "I;16B"):
        deep = Image.fromarray(np.full((16, 16), GREY * 257, np.uint16))
        return deep if mode == "I;16" else deep.convert("I").convert(mode)
    if mode in ("LA", "PA", "RGBA"):
        plain = Image.new("RGB", (16, 16), COLOUR).convert(mode)
        plain.putalpha(255)
        return plain
    return Image.new("RGB", (16, 16), COLOUR).convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"), [(m, k) for m, kinds in FORMATS.items() for k in kinds], ids=str
)
def test_every_mode_in_every_file_is_right_or_refused(mode: str, kind: str) -> None:
    image = stored(of_mode(mode), kind)
    if image.mode in ("F", "I") and image.format != "PPM":
        with pytest.raises(ValueError, match="which of them is white is not known"):
            to_rgb(image)
        return
    rgb = to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (16, 16))
    pixel = np.asarray(rgb, int)[5, 5]
    grey = round(0.299 * COLOUR[0] + 0.587 * COLOUR[1] + 0.114 * COLOUR[2])
    match mode:
        case "1":
            assert set(np.unique(np.asarray(rgb))) <= {0, 255}
        case "L" | "LA":
            assert abs(pixel - grey).max() <= 2
        case "I" | "I;16" | "I;16B":
            assert pixel.tolist() == [GREY] * 3
        case _:
            assert abs(pixel - COLOUR).max() <= 12


def test_the_scale_of_deep_grey_is_that_of_the_file() -> None:
    ramp = np.arange(256, dtype=np.uint16).repeat(4).reshape(32, 32) * 256 + 77
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(ramp)))[..., 0], ramp >> 8)
    pgm = b"P5 2 1 1023\n" + (0).to_bytes(2, "big") + (512).to_bytes(2, "big")  # of 10 bits
    assert to_rgb(Image.open(io.BytesIO(pgm))).getpixel((1, 0)) == (128,) * 3


def test_white_may_be_zero() -> None:
    ramp = Image.fromarray(np.full((4, 4), 50 << 8, np.uint16))
    dark = stored(ramp, "TIFF", tiffinfo={262: 0})
    assert is_deep_grey(dark)
    assert to_rgb(dark).getpixel((0, 0)) == (205,) * 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_picture_is_seen(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in (COLOUR, (0, 0, 255), (0, 255, 0))]
    options = {"lossless": True} if kind == "WEBP" else {}
    moving = stored(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert moving.n_frames == 3
    assert to_rgb(moving).getpixel((3, 3)) == COLOUR


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_images_are_turned_as_pillow_turns_them(turn: int, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    assert np.array_equal(np.asarray(to_rgb(Image.open(file), upright=True)), np.asarray(expected))
    if kind != "TIFF":  # Pillow turns these by itself
        assert to_rgb(Image.open(file)).size == (10, 6)


def test_a_senseless_orientation_is_none() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    image = stored(Image.new("RGB", (4, 8)), "JPEG", exif=exif)
    assert orientation(image) == 1
    assert sorted(TURNS) == [2, 3, 4, 5, 6, 7, 8]
