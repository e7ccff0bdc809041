"""Images as a network sees them, decoded once into a memory-mapped file that all runs share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock

from collm_nas.data.base import Split
from collm_nas.data.view import Pixels, View

CHUNK = 64  # images that a worker decodes at a time


def decoded(
    split: Split, positions: Sequence[int], view: View, cache: Path, workers: int = 1
) -> Pixels:
    """Return the images of `split` at `positions`, seen as `view` says: bytes (N, size, size, 3).

    The first call decodes them and writes a file below `cache`; later ones map it, in any process.
    """
    what = f"{split.digest} {asdict(view)} {list(positions)}"
    path = cache / f"{split.name}-{view.size}-{hashlib.sha256(what.encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _decode_all(split, positions, view, path, workers)
    # "c", copy on write: torch takes no array that it could not write to
    pixels: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
    return pixels


def _decode_all(
    split: Split, positions: Sequence[int], view: View, path: Path, workers: int
) -> None:
    partial = path.with_suffix(".partial")
    shape = (len(positions), view.size, view.size, 3)
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    starts = range(0, len(positions), CHUNK)
    chunks = [positions[start : start + CHUNK] for start in starts]
    if workers == 1 or len(chunks) == 1:
        for start, chunk in zip(starts, chunks, strict=True):
            out[start : start + CHUNK] = _decode(split, chunk, view)
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = pool.map(_decode, [split] * len(chunks), chunks, [view] * len(chunks))
            for start, pixels in zip(starts, results, strict=True):
                out[start : start + CHUNK] = pixels
    out.flush()
    del out
    os.replace(partial, path)


def _decode(split: Split, positions: Sequence[int], view: View) -> Pixels:
    return np.stack([view.apply(split.read(i), i) for i in positions])
