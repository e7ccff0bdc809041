"""One HTTP request, held to a time and a size, whatever the server does.

The time-outs of HTTP clients are for one read each, so a server that sends a byte now and then, a
header that never ends or one provisional answer after the other keeps them waiting for ever. Here
a clock runs beside the whole request and cuts its connection. Bodies are read and decompressed up
to a limit and handed on whole, so nobody behind this reads more. Redirects are not followed: a
prompt goes to the address that was configured, or nowhere.
"""

from __future__ import annotations

import socket
import zlib
from contextlib import suppress
from threading import Timer
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx2

from collm_nas.llm.address import proxy

MAX_BODY_BYTES = 16 * 2**20  # of an answer; parsed JSON takes up to twenty times as much memory
MAX_ERROR_BYTES = 64 * 2**10  # of an error, which is cut there
MAX_HEADER = 200  # characters of a header or an address that is told
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class Unusable(httpx2.RequestError):
    """An answer that is not read any further; `retry` tells whether another may be better."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


def exchange(
    inner: httpx2.BaseTransport, request: httpx2.Request
) -> tuple[int, dict[str, str], bytes]:
    """Send a request; return the status, the few headers that matter, and the decompressed body.

    Args:
        inner: it must open a new connection for each request.

    Raises:
        httpx2.ReadTimeout: the answer was not complete within the request's read time-out.
        Unusable: it is too long, in an unknown encoding, or a redirect.
    """
    request.headers["Accept-Encoding"] = "identity"
    with Clock(request.extensions["timeout"]["read"]) as clock:
        request.extensions = {**request.extensions, "trace": clock.watch}
        try:
            response = inner.handle_request(request)
            try:
                _refuse_redirect(request, response)
                body = _read(response)
            finally:
                response.close()
        except httpx2.RequestError:
            clock.check()
            raise
    said = {name: response.headers.get(name, "") for name in ("content-type", "retry-after")}
    plain = {k: v[:MAX_HEADER].encode("ascii", "replace").decode() for k, v in said.items()}
    return response.status_code, plain, body


class Clock:
    """Cuts the connections of one request when its time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_over = False
        self._connections: list[socket.socket] = []
        self._timer = Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        for connection in self._connections:
            connection.close()

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Note a new connection. This is httpcore's `trace`: it is told of every step.

        Encryption takes the socket object over, so what is kept is a second handle to it.
        """
        if event.endswith(".connect_tcp.complete"):
            self._connections.append(info["return_value"].get_extra_info("socket").dup())
        self.check()

    def check(self) -> None:
        """Raise httpx2.ReadTimeout if the time is over."""
        if self.is_over:
            raise httpx2.ReadTimeout(f"no complete answer within {self.seconds:g} s")

    def _cut(self) -> None:
        self.is_over = True
        for connection in list(self._connections):
            with suppress(OSError):  # it may be closed already
                connection.shutdown(socket.SHUT_RDWR)
                while connection.recv(2**16):  # else a flood that has arrived is still read
                    pass


def transport(url: str) -> httpx2.HTTPTransport:
    """Build the way to the server at `url`, through the environment's proxy if it has one.

    Raises:
        ValueError: the proxy is none.
        ImportError: the proxy is of a kind that needs another package.
    """
    once = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.HTTPTransport(proxy=proxy(url), limits=once)


def _refuse_redirect(request: httpx2.Request, response: httpx2.Response) -> None:
    if not response.has_redirect_location:
        return
    try:
        target = urlsplit(urljoin(str(request.url), response.headers["location"]))
        told = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
    except ValueError:
        told = "an address that is none"
    raise Unusable(
        f"HTTP {response.status_code}: the server redirects to {told[:MAX_HEADER]}, and prompts go "
        "to no address but the configured one. If that one is right, configure it",
        retry=False,
    )


def _read(response: httpx2.Response) -> bytes:
    """Read and decompress the body; what is too long is refused, or cut if it is an error."""
    limit = MAX_ERROR_BYTES if response.is_error else MAX_BODY_BYTES
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Unusable(f"an answer in the encoding {encoding[:MAX_HEADER]!r}, which was not asked")
    inflate = zlib.decompressobj(GZIP_OR_ZLIB) if encoding not in ("identity", "") else None
    body = bytearray()
    assert isinstance(response.stream, httpx2.SyncByteStream)
    for chunk in response.stream:
        try:
            body += inflate.decompress(chunk, limit + 1 - len(body)) if inflate else chunk
        except zlib.error as error:
            raise Unusable(f"an answer whose {encoding} encoding is damaged ({error})") from None
        if len(body) > limit:
            if not response.is_error:
                raise Unusable(f"an answer of more than {limit:,} bytes")
            break
    return bytes(body[:limit])
