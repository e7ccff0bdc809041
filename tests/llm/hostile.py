"""A server that sends any bytes at any pace, for the tests of the chat client."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Pieces = Iterable[bytes | float]  # what is sent, and the seconds waited in between
Script = Callable[[], Pieces]


@dataclass
class HostileServer:
    """Follows its scripts one by one, the last one for ever."""

    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    reads: bool = True  # whether it reads what it is asked

    def next_script(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


@contextmanager
def hostile_server() -> Iterator[HostileServer]:
    state = HostileServer()
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def accept() -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if state.reads:
                _read_request(connection, state)
            for piece in state.next_script()():
                if over.is_set():
                    return
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                    state.bytes_sent += len(piece)
                else:
                    over.wait(piece)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    yield state
    over.set()
    listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
    listener.close()


def _read_request(connection: socket.socket, state: HostileServer) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    length = next(
        int(line.partition(":")[2])
        for line in text.splitlines()
        if line.lower().startswith("content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    state.heads.append(text)
    state.requests.append(json.loads(body))


def response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None, length: bool = True
) -> bytes:
    """Write a whole response; `body` is bytes, or what becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever"]
    told = {"Content-Type": "application/json", **(headers or {})}
    if length:
        told["Content-Length"] = str(len(data))
    lines += [f"{name}: {value}" for name, value in told.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


def completion(message: Any, finish_reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    """Write the body of a chat completion."""
    message = {"role": "assistant", "content": message} if isinstance(message, str) else message
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], **fields}


def once(*pieces: bytes | float) -> Script:
    """Send these pieces and close."""
    return lambda: pieces


def endless(start: bytes, piece: bytes, pause_s: float = 0.0) -> Script:
    """Send `start`, then `piece` for ever."""

    def pieces() -> Pieces:
        yield start
        while True:
            yield piece
            if pause_s:
                yield pause_s

    return pieces


def drip(data: bytes, pause_s: float = 0.02) -> Script:
    """Send byte by byte."""

    def pieces() -> Pieces:
        for i in range(len(data)):
            yield data[i : i + 1]
            yield pause_s

    return pieces


def bomb(megabytes: int) -> bytes:
    """Compress so many MB of blanks."""
    return gzip.compress(b" " * (megabytes * 2**20), 9)


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start
