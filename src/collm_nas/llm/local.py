"""A language model on this machine: a GGUF file served by a child process, with no key or network.

The child is started at the first call and speaks the same protocol as any remote model, so that
there is one code path for all of them, time-outs are real, and a crash of the engine is an error
message. An embedded model shows that everything runs; it says nothing about the method.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Timer
from typing import Annotated

from annotated_types import Ge, Gt, Le

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import MANY, Seed, Share, Text
from collm_nas.llm.base import JSON, ContextFull, LLMUnavailable, Message, Reply
from collm_nas.llm.openai import OpenAIChat
from collm_nas.llm.weights import find_weights, sha256_of

SLOTS = 2  # one for each role, so that neither pushes the other's prompt out of the cache
START_TIMEOUT_S = 300.0  # reading a large file from a slow disk
DYING_S = 1.0  # a lost connection is noticed before the end of the process
LAST_BYTES = 2000  # of what a dying engine said
ENGINE = Path(__file__).with_name("local_engine.py")


@checked
class LocalChat:
    """A GGUF model, served by llama.cpp in a child process that both roles share.

    Args:
        path: a GGUF file, or the name of a model that `collm_nas.llm.fetch` knows.
        min_p: leaves out the tokens that are less than so many times as likely as the likeliest
            one. It keeps free text readable at temperatures that make short answers vary.
        max_tokens: the longest answer, in tokens.
        seed: the seed of a call is drawn from it and the call's purpose.
        n_ctx: the longest prompt and answer together, in tokens.
        threads: of the engine; None: one for each physical core.
        timeout_s: the longest that one answer may take.

    Raises:
        LLMUnavailable: the weights or the engine are missing; the message names the ways out.
    """

    is_language_model = True

    def __init__(
        self,
        path: Text = "smollm2-135m",
        *,
        temperature: Annotated[float, Ge(0), Le(10)],
        min_p: Share,
        max_tokens: Annotated[int, Ge(1), Le(MANY)],
        seed: Seed,
        n_ctx: Annotated[int, Ge(64), Le(4 * MANY)] = 8192,
        threads: Annotated[int, Ge(1), Le(1024)] | None = None,
        timeout_s: Annotated[float, Gt(0), Le(MANY)] = 600.0,
    ) -> None:
        self.path = find_weights(path)
        if find_spec("xllamacpp") is None:
            raise LLMUnavailable(
                "The engine of local models is not installed. Install it (pip install "
                "'collm-nas[local]'), or choose a remote model, with its key in the environment: "
                "llm=gpt4, llm=claude_sonnet4 …"
            )
        self.name = self.path.stem
        self.chat = partial(
            OpenAIChat,
            self.name,
            api_key_env=None,
            temperature=temperature,
            max_completion_tokens=max_tokens,
            seed=seed,
            extra_body={"min_p": min_p},
            structured="json_schema",
            timeout_s=timeout_s,
            retries=0,
        )
        self.settings: JSON = {
            **self.chat().settings,
            "sha256": sha256_of(self.path),
            "engine": f"xllamacpp {version('xllamacpp')}",
            "n_ctx": n_ctx,
        }
        self.n_ctx = n_ctx
        self.max_tokens = max_tokens
        self.threads = threads
        self._starting = Lock()
        self._engine: Engine | None = None

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`. An engine that died is started anew, once in a call."""
        for attempt in (1, 2):
            engine = self.engine()
            try:
                reply = engine.chat.complete(messages, purpose=purpose, schema=schema)
                return replace(reply, attempts=attempt, seed_honoured="yes")
            except ContextFull as error:
                less = max(1, self.max_tokens // 2)
                raise ContextFull(
                    f"{self.name} can read {self.n_ctx:,} tokens, and the prompt with the room for "
                    f"an answer (llm.model.max_tokens={self.max_tokens}) has outgrown that. Any of "
                    f"these lets the run go on: llm.model.n_ctx={2 * self.n_ctx}, if the model was "
                    f"trained for it; less room, llm.model.max_tokens={less}; "
                    f"another model, continue_with=… (an option of llm)."
                ) from error
            except LLMUnavailable:
                if not engine.is_dead(DYING_S):
                    raise
        raise LLMUnavailable(
            f"The engine of {self.name} died twice on one call, {purpose}. Its last words:\n"
            f"{engine.last_words()}"
        )

    def engine(self) -> Engine:
        """Return the running engine; start one if there is none."""
        with self._starting:
            if self._engine is None or self._engine.is_dead():
                self._engine = Engine(self.path, self.n_ctx, self.threads, self.chat)
            return self._engine


class Engine:
    """A running child process, and the client that speaks to it.

    The child lives as long as this object. It ends with its standard input, so even a killed
    parent leaves none behind.

    Raises:
        LLMUnavailable: it did not start; the message ends with what it said.
    """

    def __init__(
        self, path: Path, n_ctx: int, threads: int | None, chat: Callable[..., OpenAIChat]
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the child)
        self._process = subprocess.Popen(
            # -P: the folder of this package must not hide other modules from the child
            [sys.executable, "-P", ENGINE, path, str(n_ctx), str(SLOTS), str(threads or -1)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # Threads that spin while they wait take a busy machine to a quarter of its speed.
            env={**os.environ, "GOMP_SPINCOUNT": "0"},
            start_new_session=True,  # Ctrl-C is for the parent to answer
        )
        self.pid = self._process.pid
        self.stop = weakref.finalize(self, _stop, self._process)
        assert self._process.stdout is not None
        too_late = Timer(START_TIMEOUT_S, self._process.kill)
        too_late.daemon = True
        too_late.start()
        address = self._process.stdout.readline().strip()
        too_late.cancel()
        if not address:
            self._process.wait()
            raise LLMUnavailable(
                f"The engine could not load {path} (exit status {self._process.returncode}). "
                f"Its last words:\n{self.last_words()}"
            )
        self.chat = chat(base_url=f"{address}/v1")

    def is_dead(self, patience_s: float = 0.0) -> bool:
        """Tell whether the child has ended, or does so within `patience_s`."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """Return the end of the child's log."""
        self._log.seek(0)
        return self._log.read()[-LAST_BYTES:].decode("utf-8", errors="replace").strip()


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
