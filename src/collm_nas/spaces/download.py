"""Fetch the weights that the authors of a supernet released.

They are large and come from hosts that are slow, limited, or not reachable from a cluster: an
interrupted download goes on where it stopped, a file that was put into the cache by hand is as
good as a downloaded one, and where neither works the error says all that is needed to help.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from collm_nas.core.cache import cache_dir
from collm_nas.core.checkout import typed
from collm_nas.core.files import publish
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.checkpoint import official_weights
from collm_nas.spaces.supernet import OfficialWeights

ATTEMPTS = 5  # in a row that brought nothing
TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20
PARTIAL_CONTENT, BEYOND_THE_END = 206, 416  # HTTP's answers to a request for a range

Report = Callable[[int, int | None], None]  # takes how many bytes are there, of how many


class WeightsUnavailable(RuntimeError):
    """Official weights are not in the cache and cannot be had; the message says what to do."""


class OnlyAPage(OSError):
    """An address leads to a page instead of a file: nothing can be downloaded from there."""


def supernet_file(supernet: str, space: SearchSpace) -> Path:
    """Return the file that the config key `supernet` names: a path, or `official`.

    Raises:
        WeightsUnavailable: it is `official`, and these weights do not exist or cannot be had.
    """
    if supernet != "official":
        return Path(supernet).expanduser()
    train_command = f"{typed('train_supernet.py')} searchspace={space.name}"
    weights = official_weights(space)
    if weights is None:
        raise WeightsUnavailable(
            f"supernet=official: no weights are published for {space.identity}. Train a supernet "
            f"({train_command}) or name a file (config key: supernet)"
        )
    return official_file(weights, train_command)


def official_file(weights: OfficialWeights, train_command: str) -> Path:
    """Return the path of a released file; download it if it is not in the cache.

    Args:
        train_command: how to train such a supernet instead, for the error message.

    Raises:
        WeightsUnavailable: it cannot be downloaded, or is not the file that was released.
    """
    path = cache_dir() / weights.file_name
    if path.exists():  # the cache may be read-only
        return path
    try:
        if weights.only_page:
            raise OnlyAPage("the address is a web page that links to the file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # a second process waits, and finds the file
            if not path.exists():
                _download(weights, path)
    except (OSError, HTTPException) as error:
        raise WeightsUnavailable(_instructions(weights, path, train_command, error)) from error
    return path


def _download(weights: OfficialWeights, path: Path) -> None:
    """Write the file beside `path`, in as many attempts as bring more of it; then rename it."""
    partial = path.with_name(f"{path.name}.partial")
    failures, size = 0, _size(partial)
    with _progress_bar(path.name) as report:
        while not _continue(weights.url, partial, report):
            failures = 0 if _size(partial) > size else failures + 1
            size = _size(partial)
            if failures == ATTEMPTS:
                raise ConnectionError(f"the connection broke {ATTEMPTS} times in a row")
    if weights.sha256 and (digest := _sha256(partial)) != weights.sha256:
        partial.unlink()
        raise OSError(f"its sha256 is {digest}, expected {weights.sha256}; it was deleted")
    publish(partial, path)


def _continue(url: str, partial: Path, report: Report) -> bool:
    """Get what is missing of `partial`; return whether it is complete now.

    Raises:
        OSError: there is no such file to be had.
    """
    start = _size(partial)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:
            return _write(response, partial, report)
    except HTTPError as error:
        if error.code != BEYOND_THE_END:
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return True
        partial.unlink()  # longer than the file: of something else
        return False
    except (ConnectionError, TimeoutError, IncompleteRead):
        return False  # half way; a server that cannot be reached at all is a URLError


def _write(response: HTTPResponse, partial: Path, report: Report) -> bool:
    """Append the answer to `partial`, or start it anew if the server sends all of the file."""
    if response.headers.get_content_type() == "text/html":
        raise OnlyAPage("the address is a web page that links to the file")
    resumed = response.status == PARTIAL_CONTENT
    length = response.headers.get("Content-Length")
    with partial.open("ab" if resumed else "wb") as file:
        total = file.tell() + int(length) if length else None
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            report(file.tell(), total)
        return total is None or file.tell() == total


@contextmanager
def _progress_bar(name: str) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _instructions(
    weights: OfficialWeights, path: Path, train_command: str, reason: Exception
) -> str:
    note = f"\n  note:   {weights.note}" if weights.note else ""
    again = "Run the same command again to continue; or download the file elsewhere and "
    if weights.only_page or isinstance(reason, OnlyAPage):
        again = "Open the page in a browser, download the file and "
    return (
        f"The official weights {weights.file_name} are not in the cache, and downloading them "
        f"failed: {reason}\n"
        f"  from:   {weights.url}\n"
        f"  to:     {path}{note}\n"
        f"{again}put it there under this name (the environment variable COLLM_CACHE chooses "
        f"another directory); or train a supernet of your own: {train_command}\n"
        "What runs without: experiment=digits_demo, and with a folder of photographs spos_small, "
        "ofa_small and autoformer_small, e.g. "
        f"{typed('train_supernet.py')} experiment=digits_demo"
    )
