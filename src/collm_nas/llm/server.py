"""A fake server of the OpenAI chat protocol: personas over the wire, and what goes wrong there.

    python -m collm_nas.llm.server --persona flaky dataset=cifar100

It lets everything that talks to a language model be developed and tested without key, network and
cost. It listens on this machine only, and its answers say that no language model wrote them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from collm_nas.config.arguments import key_of, node_problems
from collm_nas.llm import protocol
from collm_nas.llm.handler import HOSTS, Answering, Handler
from collm_nas.llm.personas.base import Answer, Space
from collm_nas.llm.personas.cast import PERSONAS, ask, label
from collm_nas.llm.personas.faults import BEHIND, FAULTY, fault
from collm_nas.llm.protocol import BadRequest, ChatRequest

SPACES = Path("conf/searchspace")
ABOUT = "A fake server of the OpenAI chat protocol: personas instead of language models."


class FakeServer(Answering):
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
        space: Space,
        *,
        seed: int = 0,
        port: int = 0,
        retry_after_s: float = 1,
        verbose: bool = False,
    ) -> None:
        if persona not in (known := (*PERSONAS, *FAULTY)):
            raise ValueError(f"persona must be one of {', '.join(known)}, got {persona!r}")
        self.persona = persona
        self.space = space
        self.seed = seed
        self.retry_after_s = retry_after_s
        self.verbose = verbose
        self._attempts: dict[bytes, int] = {}
        self._numbers: dict[bytes, int] = {}
        self._lock = Lock()
        super().__init__((HOSTS[0], port), Handler)

    @property
    def url(self) -> str:
        """Return the base URL that clients are given."""
        return f"http://{HOSTS[0]}:{self.server_port}/v1"

    def fault(self, body: bytes) -> str | None:
        """Say what goes wrong with this request, if anything; counts how often it was sent."""
        question = hashlib.sha256(body).digest()
        with self._lock:
            number = self._numbers.setdefault(question, len(self._numbers))
            attempt = self._attempts.get(question, 0)
            self._attempts[question] = attempt + 1
        return fault(self.persona, number, attempt)

    def answers(self, request: ChatRequest) -> list[Answer]:
        """Let the persona answer, once for each choice that is asked for.

        Raises:
            BadRequest: it cannot write what the schema demands.
        """
        return [self._answer(request, index) for index in range(request.choices)]

    def shutdown_request(self, request: Any) -> None:
        """Close without the polite end of a stream, which would come before a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that have gone; show everything else, as the base class does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def _answer(self, request: ChatRequest, index: int) -> Answer:
        persona = self.persona if self.persona in PERSONAS else BEHIND
        call = (request.seed, index)
        try:
            answer = ask(
                persona,
                self.space,
                request.messages,
                seed=self.seed,
                call=call,
                schema=request.schema,
                json_only=request.json_only,
            )
        except ValueError as error:
            raise BadRequest(str(error), "response_format") from error
        return protocol.cut(answer, request.max_tokens)


@contextmanager
def serve(
    persona: str, space: Space, *, seed: int = 0, port: int = 0, retry_after_s: float = 1
) -> Iterator[str]:
    """Run a server while the block runs: `with serve("flaky", space) as url`; see `FakeServer`."""
    server = FakeServer(persona, space, seed=seed, port=port, retry_after_s=retry_after_s)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def build_space(option: str, settings: Sequence[str]) -> Space:
    """Build a search space as the commands do: an option of conf/searchspace, or a YAML file.

    Raises:
        ValueError: there is no such option, or the settings are not those of the space.
    """
    path = Path(option) if option.endswith(".yaml") else SPACES / f"{option}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in SPACES.glob("*.yaml")))
        raise ValueError(
            f"--searchspace {option}: {path} does not exist; there are: {known or 'none here'}. "
            f"Run this in the project's directory, or name a YAML file."
        )
    try:
        node = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(settings)))
        root = OmegaConf.create({"searchspace": node, "llm": {"asking": {"names": "official"}}})
        values: Any = OmegaConf.to_container(root.searchspace, resolve=True)
        values.pop("defaults", None)  # of a search, not of the space
        if wrong := node_problems(values):
            raise ValueError("\n".join(p.told(key_of(p.path)) for p in wrong))
        module, _, cls = values.pop("_target_").rpartition(".")
        space: Space = getattr(importlib.import_module(module), cls)(**values)
    except (TypeError, OmegaConfBaseException) as error:
        raise ValueError(f"--searchspace {option} {' '.join(settings)}: {error}") from error
    return space


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m collm_nas.llm.server", description=ABOUT)
    known = (*PERSONAS, *FAULTY)
    parser.add_argument("--persona", default="sensible", help=f"one of {', '.join(known)}")
    parser.add_argument("--searchspace", default="nasbench201", help="option of conf/searchspace")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("settings", nargs="*", help="of the space, e.g. dataset=cifar100")
    args = parser.parse_intermixed_args(arguments)
    try:
        space = build_space(args.searchspace, args.settings)
        server = FakeServer(args.persona, space, seed=args.seed, port=args.port, verbose=True)
    except (ValueError, OverflowError, OSError) as error:
        parser.error(str(error))
    with server:
        print(f"{label(args.persona)} (no language model) answers at {server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
