"""One HTTP request to the fake server: routes, errors, streams, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from collm_nas.llm import protocol
from collm_nas.llm.personas.base import Answer
from collm_nas.llm.personas.cast import label
from collm_nas.llm.protocol import BadRequest, ChatRequest

HOSTS = ("127.0.0.1", "localhost")
MAX_BODY_BYTES = 64 * 2**20
INVALID = "invalid_request_error"


class Answering(ThreadingHTTPServer):
    """What a handler asks of its server."""

    persona: str
    retry_after_s: float
    verbose: bool

    def fault(self, body: bytes) -> str | None:
        """Say what goes wrong with this request, if anything."""
        raise NotImplementedError

    def answers(self, request: ChatRequest) -> list[Answer]:
        """Answer, once for each choice that is asked for.

        Raises:
            BadRequest: that cannot be done.
        """
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: the connection ends with the answer, so no thread waits for more."""

    server: Answering
    server_version = "collm-nas-fake-server"

    def do_GET(self) -> None:
        """Answer `/v1/models`."""
        if self._is_refused():
            return
        if self.path.rstrip("/") == "/v1/models":
            self._send(HTTPStatus.OK, protocol.models(label(self.server.persona)))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no GET {self.path}")

    def do_POST(self) -> None:
        """Answer `/v1/chat/completions`."""
        if self._is_refused():
            return
        length = self.headers.get("Content-Length", "")
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no POST {self.path}")
        elif not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            demand = f"Content-Length must be given, and at most {MAX_BODY_BYTES:,}"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, demand)
        else:
            self._answer(self.rfile.read(int(length)))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Report what the base class finds wrong in the protocol's own format."""
        status = HTTPStatus(code)
        self._send(status, protocol.problem(message or status.phrase, INVALID, None))

    def log_message(self, format: str, *args: Any) -> None:
        """Log request lines, which hold no key, if that is wanted."""
        if self.server.verbose:
            super().log_message(format, *args)

    def _is_refused(self) -> bool:
        """Refuse other hosts: a web page that resolves its own name to this machine, say."""
        if urlsplit(f"//{self.headers.get('Host', HOSTS[0])}").hostname in HOSTS:
            return False
        self._refuse(HTTPStatus.FORBIDDEN, "this server answers its own machine only")
        return True

    def _answer(self, body: bytes) -> None:
        try:
            request = ChatRequest.read(body)
            wrong = self.server.fault(body)
            answers = [] if wrong else self.server.answers(request)
        except BadRequest as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error), error.param)
            return
        identity, model = hashlib.sha256(body).hexdigest()[:24], label(self.server.persona)
        if wrong:
            self._fail(wrong)
        elif request.stream:
            self._stream(protocol.chunks(identity, model, request, answers))
        else:
            self._send(HTTPStatus.OK, protocol.completion(identity, model, request, answers))

    def _fail(self, wrong: str) -> None:
        match wrong:
            case "rate_limit":
                headers = {"Retry-After": f"{self.server.retry_after_s:g}"}
                told = protocol.problem("slow down", "requests", "rate_limit_exceeded")
                self._send(HTTPStatus.TOO_MANY_REQUESTS, told, headers)
            case "server_error":
                told = protocol.problem("the server broke", "server_error", None)
                self._send(HTTPStatus.INTERNAL_SERVER_ERROR, told)
            case "hang":
                self.rfile.read(1)  # returns when the client gives up
            case "connection_reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "wrong_content_type":
                self._send_bytes(HTTPStatus.OK, b"<html>Please log in.</html>", "text/html", {})

    def _refuse(self, status: HTTPStatus, message: str, param: str | None = None) -> None:
        self._send(status, protocol.problem(message, INVALID, None, param))

    def _send(
        self, status: HTTPStatus, obj: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        self._send_bytes(status, json.dumps(obj).encode(), "application/json", headers or {})

    def _send_bytes(
        self, status: HTTPStatus, body: bytes, content_type: str, headers: dict[str, str]
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, chunks: Iterator[dict[str, Any]]) -> None:
        """Send server-sent events; the end of the connection ends them."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
