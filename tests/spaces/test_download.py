"""Downloads from a server of our own: whole, in pieces, over breaking lines, and refused ones."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.download import WeightsUnavailable, official_file, supernet_file
from collm_nas.spaces.supernet import OfficialWeights

CONTENT = bytes(range(256)) * 12_000  # 3 MB: a few chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TRAIN = "python train_supernet.py searchspace=autoformer"


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`, and remembers which ranges it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.takes_ranges = True
        self.breaks_after: list[int] = []  # bytes after which the next answers break off
        self.content_type = "application/octet-stream"
        self.tells_length = True

    def weights(self, path: str = "supernet.pth", sha256: str | None = None) -> OfficialWeights:
        url = f"http://127.0.0.1:{self.server_address[1]}/{path}"
        return OfficialWeights(url, "supernet.pth", sha256, note="by the authors")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        if self.path == "/moved.pth":
            self.send_response(302)
            self.send_header("Location", "/supernet.pth")
            self.end_headers()
            return
        if self.path != "/supernet.pth":
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.takes_ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.answer(start)

    def answer(self, start: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.content_type)
        if self.server.tells_length:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            end = len(CONTENT) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(CONTENT)}")
        self.end_headers()
        breaks = self.server.breaks_after
        stop = start + breaks.pop(0) if breaks else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def test_file_is_downloaded_once(server: Server, cache: Path) -> None:
    weights = server.weights(sha256=SHA256)
    path = official_file(weights, TRAIN)
    assert path == cache / "supernet.pth"
    assert path.read_bytes() == CONTENT
    assert official_file(weights, TRAIN) == path
    assert server.ranges == [None]
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == ["supernet.pth"]


def test_file_put_there_by_hand_needs_no_network(cache: Path) -> None:
    cache.mkdir()
    (cache / "supernet.pth").write_bytes(b"by hand")
    weights = OfficialWeights("http://127.0.0.1:1/supernet.pth", "supernet.pth")
    assert official_file(weights, TRAIN).read_bytes() == b"by hand"
    assert [path.name for path in cache.iterdir()] == ["supernet.pth"]  # it may be read-only


def test_broken_connection_is_resumed(server: Server) -> None:
    server.breaks_after = [1_000_000, 500_000]
    assert official_file(server.weights(sha256=SHA256), TRAIN).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_download_goes_on_where_an_earlier_run_stopped(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "supernet.pth.partial").write_bytes(CONTENT[:123_456])
    assert official_file(server.weights(), TRAIN).read_bytes() == CONTENT
    assert server.ranges == ["bytes=123456-"]


def test_complete_but_unnamed_file_is_kept(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "supernet.pth.partial").write_bytes(CONTENT)
    assert official_file(server.weights(), TRAIN).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_partial_file_of_something_longer_is_started_anew(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "supernet.pth.partial").write_bytes(CONTENT + b"more")
    assert official_file(server.weights(), TRAIN).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_server_without_ranges_starts_anew(server: Server, cache: Path) -> None:
    server.takes_ranges = False
    cache.mkdir()
    (cache / "supernet.pth.partial").write_bytes(b"old" * 1_000)
    assert official_file(server.weights(), TRAIN).read_bytes() == CONTENT


def test_redirections_are_followed_with_the_range(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "supernet.pth.partial").write_bytes(CONTENT[:10])
    assert official_file(server.weights("moved.pth"), TRAIN).read_bytes() == CONTENT
    assert server.ranges == ["bytes=10-", "bytes=10-"]


def test_answer_of_unknown_length_is_taken_to_its_end(server: Server) -> None:
    server.tells_length = False
    assert official_file(server.weights(sha256=SHA256), TRAIN).read_bytes() == CONTENT


def test_two_at_once_download_once(server: Server) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = [pool.submit(official_file, server.weights(), TRAIN) for _ in range(2)]
    assert {path.result().read_bytes() for path in paths} == {CONTENT}
    assert server.ranges == [None]


def test_config_names_a_path_or_the_official_weights(cache: Path) -> None:
    assert supernet_file("runs/mine.pt", AutoFormer()) == Path("runs/mine.pt")
    cache.mkdir()
    (cache / "supernet-base.pth").touch()
    assert supernet_file("official", AutoFormer("base", "repo")) == cache / "supernet-base.pth"


# -- what cannot be had -------------------------------------------------------------------------


def test_without_network_all_that_helps_is_said(cache: Path) -> None:
    weights = OfficialWeights("http://127.0.0.1:1/supernet.pth", "supernet.pth", note="a note")
    with pytest.raises(WeightsUnavailable) as error:
        official_file(weights, TRAIN)
    message = str(error.value)
    for part in (
        "supernet.pth are not in the cache",
        "Connection refused",
        "http://127.0.0.1:1/supernet.pth",
        str(cache / "supernet.pth"),
        "a note",
        "COLLM_CACHE",
        TRAIN,
    ):
        assert part in message


def test_line_that_brings_nothing_is_given_up_and_what_came_is_kept(
    server: Server, cache: Path
) -> None:
    server.breaks_after = [1_000] + [0] * 5
    with pytest.raises(WeightsUnavailable, match="broke 5 times in a row"):
        official_file(server.weights(), TRAIN)
    assert (cache / "supernet.pth.partial").stat().st_size == 1_000
    assert official_file(server.weights(), TRAIN).read_bytes() == CONTENT


def test_missing_file_is_not_tried_again(server: Server) -> None:
    with pytest.raises(WeightsUnavailable, match="HTTP Error 404"):
        official_file(server.weights("gone.pth"), TRAIN)
    assert len(server.ranges) == 1


def test_wrong_content_is_deleted(server: Server, cache: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=f"its sha256 is {SHA256}, expected 00"):
        official_file(server.weights(sha256="00"), TRAIN)
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == []


def test_web_page_is_not_taken_for_weights(server: Server, cache: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(WeightsUnavailable, match="a web page that links to the file"):
        official_file(server.weights(), TRAIN)
    assert not (cache / "supernet.pth").exists()


def test_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file where a directory should be")
    weights = OfficialWeights("http://127.0.0.1:1/supernet.pth", "supernet.pth")
    with pytest.raises(WeightsUnavailable, match=re.escape(str(cache))):
        official_file(weights, TRAIN)


def test_space_without_published_weights_is_told_apart() -> None:
    space = AutoFormer(num_classes=10)
    message = "no weights are published for autoformer-d14-e256-m8-h4-r224-p16-c10. Train"
    with pytest.raises(WeightsUnavailable, match=message):
        supernet_file("official", space)
