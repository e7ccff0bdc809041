"""The child process of `LocalChat`: llama.cpp's own server, in the hands of its parent.

A process of its own, so that a crash of the engine is an error message and not the end of the
search. It imports nothing of this package, listens on loopback alone, opens no other connection,
and ends as soon as its standard input does: when the parent closes it, or dies, however it dies.
Engine: xllamacpp (MIT, https://github.com/xorbitsai/xllamacpp).
"""

from __future__ import annotations

import os
import sys

import xllamacpp

ERRORS_ONLY = 1  # the level of llama.cpp's log


def main(path: str, n_ctx: str, slots: str, threads: str) -> None:
    """Serve the model; print the address once it answers, and wait for the end of the input."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {os.path.basename(path).removesuffix(".gguf")}
    params.offline = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free one
    params.cors_origins = "http://127.0.0.1"  # no web page's business
    params.ui = False
    params.endpoint_slots = False  # it would show the prompts
    params.verbosity = ERRORS_ONLY
    params.n_ctx = int(n_ctx) * int(slots)  # each slot gets its share
    params.n_parallel = int(slots)
    params.cache_ram_mib = 0  # the slots keep their prompts; old ones are not coming back
    params.cpuparams.n_threads = int(threads)
    params.sampling.top_k = 0  # what a request does not name leaves the distribution as it is
    params.sampling.top_p = 1.0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # not waiting for an answer that nobody will read


if __name__ == "__main__":
    main(*sys.argv[1:])
