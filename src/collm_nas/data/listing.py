"""What is in a folder of class folders: listed once, then known from an index file.

The order is that of torchvision's `ImageFolder`, on which the splits of the papers depend. While
listing, each image is looked at; what cannot be read is left out of every split, by name, in a
warning: this is the only place where a broken image is tolerated.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from collm_nas.core.cache import cache_dir
from collm_nas.core.files import replacing
from collm_nas.data.base import BrokenImage, DataUnavailable, Split
from collm_nas.data.progress import tracked
from collm_nas.data.rgb import is_deep_grey, orientation, to_rgb
from collm_nas.data.splits import Positions, digest

# torchvision's
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
UNREAD = (".gif", ".apng", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".jfif", ".dng", ".raw")
THREADS = 16  # most of the time is spent waiting for the disk
JPEG_END = b"\xff\xd9"
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # of Pillow
Names = NDArray[np.bytes_]  # paths relative to a root; a million of them are one block of memory
Check = Literal["quick", "full"]


@dataclass(frozen=True)
class Listing:
    """The images below `root`, one folder for each class.

    Args:
        names: of the files, relative to `root`, sorted by class, folder and name.
        labels: of the files; `classes` are their names.
        sizes: of the files, in bytes.
        broken: which of them cannot be read.
        deep: which of them are grey of more than 8 bits.
        turned: which of them are not upright, by their EXIF orientation.
        unread: files of images of other formats, which are left out.
        folders: all folders below `root`, relative, `.` among them.
        changed: when each of `folders` changed last, in nanoseconds.
    """

    root: Path
    classes: tuple[str, ...]
    names: Names
    labels: Positions
    sizes: Positions
    broken: NDArray[np.bool_]
    deep: NDArray[np.bool_]
    turned: NDArray[np.bool_]
    unread: Names
    folders: Names
    changed: Positions

    def split(self, name: str, positions: Positions, upright: bool) -> Split:
        """Return the readable ones of the images at `positions`; for `upright` see `to_rgb`."""
        chosen = positions[~self.broken[positions]]
        names, labels = self.names[chosen], self.labels[chosen]
        # pixels that Pillow alone would read otherwise have another name than those it reads
        ways = {"deep grey": self.deep[chosen], "upright": self.turned[chosen] & upright}
        how = [way for way, concerned in ways.items() if concerned.any()]
        known = digest(names.tolist(), labels, self.sizes[chosen], how)
        read = partial(_read, self.root, names, upright)
        return Split(name, tuple(labels.tolist()), known, read)

    @cached_property
    def broken_names(self) -> list[str]:
        """The files that cannot be read."""
        return [os.fsdecode(name) for name in self.names[self.broken].tolist()]


def _read(root: Path, names: Names, upright: bool, position: int) -> Image.Image:
    path = root / os.fsdecode(names[position])
    try:
        with Image.open(path) as image:
            return to_rgb(image, upright)
    except UNREADABLE as error:
        raise BrokenImage(
            f"{path} cannot be decoded: {error}. Replace it, or let all images be decoded once, "
            f"and such ones be left out of the splits: data.check=full"
        ) from error


def listing(root: Path, check: Check = "quick", max_broken: int = 10) -> Listing:
    """List the images below `root`, or take the list from its index file if no folder changed.

    Args:
        check: how images are looked at: `quick` decodes those only that do not look whole from
            their first and last bytes, `full` decodes all.
        max_broken: how many may be broken.

    Raises:
        DataUnavailable: there is no such folder, it is not one of class folders, or too many
            images are broken.
    """
    if not root.is_dir():
        raise DataUnavailable(f"there is no folder {root} (config key: data.root)")
    key = hashlib.sha256(f"{root.absolute()} {check}".encode()).hexdigest()[:24]
    index = cache_dir() / "listings" / f"{root.name}-{key}.npz"
    found = _from_index(index, root) or _list_once(index, root, check)
    if unread := [os.fsdecode(name) for name in found.unread.tolist()]:
        warnings.warn(
            f"{_named(unread, 10)} in {root} {'is' if len(unread) == 1 else 'are'} left out: "
            f"images are read from files that end in {', '.join(SUFFIXES)}. Convert them.",
            stacklevel=2,
        )
    if count := len(found.broken_names):
        first = found.broken_names[0]
        message = (
            f"{count} of {len(found.names):,} images in {root} cannot be read: "
            f"{_named(found.broken_names, max_broken or 10)} ({_why_broken(root / first)})"
        )
        if count > max_broken:
            raise DataUnavailable(
                f"{message}. Is the copy complete? Mend or fetch them again, or allow that many to "
                f"be left out: data.max_broken={count}"
            )
        warnings.warn(f"{message}. They are left out.", stacklevel=2)
    return found


def _named(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _why_broken(path: Path) -> str:
    try:
        with Image.open(path) as image:
            to_rgb(image)
    except UNREADABLE as error:
        return f"{path.name}: {error}"
    return "it was when the folder was listed"


def _list_once(index: Path, root: Path, check: Check) -> Listing:
    """List `root` and write the index, unless another process just did."""
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(index.with_suffix(".lock")):
            found = _from_index(index, root)
            if found is None:
                found = _list(root, check)
                _write_index(index, found)
            return found
    except OSError as error:
        raise DataUnavailable(
            f"cannot list {root}, or write the list to {index}: {error}. The environment "
            f"variable COLLM_CACHE chooses another directory for such files."
        ) from error


def _write_index(index: Path, found: Listing) -> None:
    arrays = {
        name: getattr(found, name)
        for name in ("names", "labels", "sizes", "broken", "deep", "turned", "unread")
    }
    with replacing(index) as partial:
        np.savez(
            partial,
            classes=_encode(found.classes),
            folders=found.folders,
            changed=found.changed,
            **arrays,
        )


def _from_index(index: Path, root: Path) -> Listing | None:
    """Read the index; `None` if there is none, it is damaged, or a folder changed since."""
    try:
        with np.load(index, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        now = _changes(root, content["folders"])
        if not np.array_equal(now, content["changed"]):
            return None
        classes = tuple(map(os.fsdecode, content.pop("classes").tolist()))
        return Listing(root, classes, **content)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None


def _list(root: Path, check: Check) -> Listing:
    entries = [e for e in os.scandir(root) if e.is_dir() and not e.name.startswith(".")]
    classes = sorted(e.name for e in entries)
    if not classes:
        raise DataUnavailable(
            f"{root} has no folders of classes in it: it should have one for each class, with the "
            f"images of that class"
        )
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(partial(_list_class, root, check), classes)
        parts = list(tracked(found, len(classes), f"listing the classes of {root}"))
    empty = [name for name, part in zip(classes, parts, strict=True) if not part.names]
    if empty:
        kinds = ", ".join(SUFFIXES)
        raise DataUnavailable(
            f"no images in these folders of {root}: {', '.join(empty)} (none that end in {kinds})"
        )
    looks = [look for part in parts for look in part.looks]
    folders = _encode([".", *(f for part in parts for f in part.folders)])
    return Listing(
        root,
        tuple(classes),
        names=_encode([name for part in parts for name in part.names]),
        labels=np.repeat(np.arange(len(classes)), [len(part.names) for part in parts]),
        sizes=np.array([look.size for look in looks], dtype=np.int64),
        broken=np.array([look.broken for look in looks]),
        deep=np.array([look.deep for look in looks]),
        turned=np.array([look.turned for look in looks]),
        unread=_encode([name for part in parts for name in part.unread]),
        folders=folders,
        changed=_changes(root, folders),
    )


class _Look(NamedTuple):
    """What a first look at a file tells; see `Listing`."""

    size: int
    broken: bool = False
    deep: bool = False
    turned: bool = False


@dataclass
class _ClassListing:
    """What is in the folder of one class, relative to the root."""

    folders: list[str]
    names: list[str]
    looks: list[_Look]
    unread: list[str]


def _list_class(root: Path, check: Check, name: str) -> _ClassListing:
    part = _ClassListing([], [], [], [])
    for folder, _, files in sorted(os.walk(root / name, followlinks=True)):
        relative = os.path.relpath(folder, root)
        part.folders.append(relative)
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES):
                part.names.append(os.path.join(relative, file))
                part.looks.append(_look(os.path.join(folder, file), check))
            elif file.lower().endswith(UNREAD):
                part.unread.append(os.path.join(relative, file))
    return part


def _look(path: str, check: Check) -> _Look:
    """Look at a file.

    A JPEG that ends with its end marker has not been cut, which is how images usually break; its
    header is read. Other formats are decoded: they are rare in large data sets.
    """
    size = 0
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(JPEG_END)))
            whole = file.read() == JPEG_END
            with Image.open(file) as image:
                if check == "full" or not whole or image.format != "JPEG":
                    to_rgb(image)
                return _Look(size, False, is_deep_grey(image), orientation(image) > 1)
    except UNREADABLE:
        return _Look(size, broken=True)


def _changes(root: Path, folders: Names) -> Positions:
    """Return when the folders changed last: a file was added, removed or renamed then."""
    times = [(root / os.fsdecode(folder)).stat().st_mtime_ns for folder in folders.tolist()]
    return np.array(times, dtype=np.int64)


def _encode(names: Sequence[str]) -> Names:
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)
