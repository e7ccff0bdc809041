"""A fake server of the OpenAI chat protocol: personas over the wire, and what goes wrong there.

    python -m collm_nas.fake_llm.server --persona flaky dataset=cifar100

It lets everything that talks to a language model be developed and tested without key, network and
cost. It listens on this machine only, and its answers say that no language model wrote them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote

from omegaconf import OmegaConf

from collm_nas.config.run import UserError, build
from collm_nas.config.space import named_space
from collm_nas.fake_llm.completion import TEXT, BadRequest, completion, problem, read
from collm_nas.fake_llm.faults import BEHIND, FAULTY, fault
from collm_nas.fake_llm.registry import PERSONAS, ask, label, look_up
from collm_nas.llm.base import PURPOSE_HEADER, Reply
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.settings import Prompting

HOST = "127.0.0.1"
COMPLETIONS = "/v1/chat/completions"
KNOWN = (*PERSONAS, *FAULTY)
ABOUT = "A fake server of the OpenAI chat protocol: personas instead of language models."


class FakeServer(ThreadingHTTPServer):
    """Answers chat requests as `persona` would.

    Args:
        port: 0 chooses a free one.
        retry_after_s: what a rate limit asks to wait.
        verbose: log a line per request to stderr.

    Raises:
        ValueError: there is no such persona.
        OSError: the port is taken.
    """

    daemon_threads = True  # a hanging answer must not keep the process alive
    request_queue_size = 128

    def __init__(
        self,
        persona: str,
        dialect: Dialect,
        *,
        seed: int = 0,
        port: int = 0,
        retry_after_s: float = 1,
        verbose: bool = False,
    ) -> None:
        self.persona = look_up(persona, KNOWN)
        self.dialect = dialect
        self.seed = seed
        self.retry_after_s = retry_after_s
        self.verbose = verbose
        self._asked: dict[str, tuple[int, int]] = {}  # question: its number, how often it came
        self._lock = Lock()
        super().__init__((HOST, port), Handler)

    @property
    def url(self) -> str:
        """Return the base URL that clients are given."""
        return f"http://{HOST}:{self.server_port}/v1"

    def fault(self, question: str) -> str | None:
        """Say what goes wrong with this question, if anything; counts how often it was sent."""
        with self._lock:
            number, attempt = self._asked.get(question, (len(self._asked), 0))
            self._asked[question] = number, attempt + 1
        return fault(self.persona, number, attempt)

    def answer(self, purpose: str, body: bytes) -> Reply:
        """Let the persona answer.

        Raises:
            BadRequest: it is no request, or no architecture has the schema that it demands.
        """
        request = read(body)
        seed, format_ = request.get("seed"), request.get("response_format") or TEXT
        try:
            return ask(
                self.persona if self.persona in PERSONAS else BEHIND,
                self.dialect,
                request["messages"],
                purpose=purpose,
                seed=self.seed if seed is None else seed,
                schema=format_["json_schema"]["schema"]
                if format_["type"] == "json_schema"
                else None,
                json_only=format_["type"] != "text",
                max_tokens=request.get("max_completion_tokens") or request.get("max_tokens"),
            )
        except ValueError as error:
            raise BadRequest(str(error), "response_format") from error

    def shutdown_request(self, request: Any) -> None:
        """Close without the polite end of a stream, which would come before a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that have gone; show everything else, as the base class does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: the connection ends with the answer, so no thread waits for more."""

    server: FakeServer

    def do_POST(self) -> None:
        """Answer, refuse or fail."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        purpose = unquote(self.headers.get(PURPOSE_HEADER, ""))
        identity = hashlib.sha256(purpose.encode() + b"\n" + body).hexdigest()[:24]
        if self.path != COMPLETIONS:
            self._refuse(404, f"there is no POST {self.path}")
        elif not purpose:
            self._refuse(
                400,
                f"the header {PURPOSE_HEADER} is missing: it says what the call is for, as in "
                '"navigator/3" (a strategy) or "generator/3" (architectures)',
                PURPOSE_HEADER,
            )
        elif wrong := self.server.fault(identity):
            self._fail(wrong)
        else:
            try:
                reply = self.server.answer(purpose, body)
            except BadRequest as error:
                self._refuse(400, str(error), error.param)
            else:
                self._send(200, completion(identity, label(self.server.persona), reply))

    def log_message(self, format: str, *args: Any) -> None:
        """Log request lines, which hold no key, if that is wanted."""
        if self.server.verbose:
            super().log_message(format, *args)

    def _fail(self, wrong: str) -> None:
        match wrong:
            case "rate_limit":
                wait = {"Retry-After": f"{self.server.retry_after_s:g}"}
                self._send(429, problem("slow down", "requests", "rate_limit_exceeded"), wait)
            case "server_error":
                self._send(500, problem("the server broke", "server_error", None))
            case "hang":
                self.rfile.read(1)  # returns when the client gives up
            case "connection_reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "wrong_content_type":
                page = {"Content-Type": "text/html"}
                self._send(200, b"<html>Please log in.</html>", page)

    def _refuse(self, status: int, message: str, param: str | None = None) -> None:
        self._send(status, problem(message, "invalid_request_error", None, param))

    def _send(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in {**fields, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve(
    persona: str, dialect: Dialect, *, seed: int = 0, retry_after_s: float = 1
) -> Iterator[str]:
    """Run a server while the block runs, `with serve("flaky", dialect) as url`: `FakeServer`."""
    server = FakeServer(persona, dialect, seed=seed, retry_after_s=retry_after_s)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spoken_space(option: str, settings: Sequence[str]) -> Dialect:
    """Build a search space as `named_space` does, and put it in words.

    Args:
        settings: those of the space and, as `names=opaque`, of the words.

    Raises:
        UserError: there is no such option, or the settings are none.
    """
    words = [s for s in settings if s.partition("=")[0] in ("names", "order_seed")]
    space = named_space(option, [s for s in settings if s not in words])
    node = OmegaConf.from_dotlist(words)
    node["_target_"] = "collm_nas.prompting.settings.Prompting"
    prompting: Prompting = build(node)
    return prompting.dialect(space)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m collm_nas.fake_llm.server", description=ABOUT)
    parser.add_argument("--persona", default="sensible", help=f"one of {', '.join(KNOWN)}")
    parser.add_argument("--searchspace", default="nasbench201", help="option of conf/searchspace")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("settings", nargs="*", help="e.g. dataset=cifar100 names=opaque")
    args = parser.parse_intermixed_args(arguments)
    try:
        dialect = spoken_space(args.searchspace, args.settings)
        server = FakeServer(args.persona, dialect, seed=args.seed, port=args.port, verbose=True)
    except (UserError, ValueError, OverflowError, OSError) as error:
        parser.error(str(error))
    with server:
        print(f"{label(server.persona)} (no language model) answers at {server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
