"""Images as a network sees them, decoded once into a memory-mapped file that all runs share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock

from collm_nas.core.files import replacing
from collm_nas.data.base import DataUnavailable, Split
from collm_nas.data.progress import tracked
from collm_nas.data.view import Pixels, View

CHUNK = 64  # images that are decoded and written together


def decoded(
    split: Split, positions: Sequence[int], view: View, cache: Path, workers: int = 1
) -> Pixels:
    """Return the images of `split` at `positions`, seen as `view` says: bytes (N, size, size, 3).

    The first call decodes them, in `workers` threads (Pillow decodes and resizes outside of
    Python's lock), and writes a file below `cache`; later ones map it, in any process. A file
    that is not whole is made again.

    Raises:
        BrokenImage: one of them cannot be decoded; nothing is written.
        DataUnavailable: the file cannot be written.
    """
    what = f"{split.digest} {asdict(view)} {list(positions)}"
    path = cache / f"{split.name}-{view.size}-{hashlib.sha256(what.encode()).hexdigest()[:24]}.npy"
    shape = (len(positions), view.size, view.size, 3)
    if (found := _mapped(path, shape)) is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # a second process waits, and finds the file
            if (found := _mapped(path, shape)) is None:
                found = _decode_into(path, split, positions, view, workers)
        return found
    except OSError as error:
        raise DataUnavailable(
            f"cannot write the decoded images to {path} ({np.prod(shape) / 1e9:.2f} GB): {error}. "
            f"Make room, or choose another directory by the environment variable COLLM_CACHE."
        ) from error


def _mapped(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Map the file; `None` if there is none, or it is not whole."""
    try:  # "c", copy on write: torch takes no array that it could not write to
        pixels: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None


def _decode_into(
    path: Path, split: Split, positions: Sequence[int], view: View, workers: int
) -> Pixels:
    """Write the images as they come: a full disk is an error, where a map would be a crash."""
    shape = (len(positions), view.size, view.size, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with replacing(path) as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for pixels in _chunks(split, positions, view, workers):
            file.write(pixels.tobytes())
    return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return]


def _chunks(split: Split, positions: Sequence[int], view: View, workers: int) -> Iterator[Pixels]:
    """Yield the images in their order; only so many are decoded ahead as fit into any memory."""
    chunks = [positions[start : start + CHUNK] for start in range(0, len(positions), CHUNK)]
    window = 4 * workers
    with ThreadPoolExecutor(workers) as pool:
        decode = partial(_decode, split, view)
        results = (
            pixels
            for start in range(0, len(chunks), window)
            for pixels in pool.map(decode, chunks[start : start + window])
        )
        title = f"decoding {len(positions):,} images of {split.name}, in parts of {CHUNK}"
        yield from tracked(results, len(chunks), title)


def _decode(split: Split, view: View, positions: Sequence[int]) -> Pixels:
    return np.stack([view.apply(split.read(i), i) for i in positions])
