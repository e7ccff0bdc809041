"""Which model `llm=auto` means: what the user has configured, else the embedded one.

It never means a stand-in that is not a language model: where there is none, that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from collm_nas.llm import weights
from collm_nas.llm.base import LLMUnavailable

BY_KEY = {  # the environment variable of a key -> the option of conf/llm, first come first served
    "OPENAI_API_KEY": "gpt4",
    "ANTHROPIC_API_KEY": "claude_sonnet4",
    "DEEPSEEK_API_KEY": "deepseek_r1",
}
SERVERS = ("COLLM_LLM_BASE_URL", "OPENAI_BASE_URL")
MODEL = "COLLM_LLM_MODEL"
EMBEDDED = ("xllamacpp", "smollm2-135m")  # the engine and the weights of llm=local

WAYS_OUT = (
    "Any one of these gives it one:",
    *(f"  export {key}=…  (llm={option})" for key, option in BY_KEY.items()),
    f"  export {SERVERS[0]}=http://localhost:8000/v1 {MODEL}=…  (llm=endpoint: vLLM, SGLang, …)",
    "  pip install xllamacpp && python -m collm_nas.llm.fetch smollm2-135m",
    "      (llm=local: a small embedded model, no key, no network)",
    "  llm=ollama, or llm=gguf with any GGUF file",
    "Or search without a language model: strategy=random, strategy=local_search …",
)


def is_installed(name: str) -> bool:
    """Tell whether the weights of that name, or a package, are there; nothing is imported."""
    return weights.is_installed(name) if name in EMBEDDED[1:] else find_spec(name) is not None


def choose(
    environ: Mapping[str, str] = os.environ, installed: Callable[[str], bool] = is_installed
) -> str:
    """Return the option of conf/llm that `llm=auto` stands for.

    An endpoint of one's own comes first, then keys (the OpenAI client's own OPENAI_BASE_URL goes
    with its key, if that is set), then the embedded model.

    Raises:
        LLMUnavailable: there is none; the message lists all the ways out.
    """
    by_key = next((option for key, option in BY_KEY.items() if environ.get(key)), None)
    own, openai = (environ.get(name) for name in SERVERS)
    problem = "llm=auto found no language model."
    if own or (openai and not by_key):
        if environ.get(MODEL):
            return "endpoint"
        problem = f"llm=auto found the endpoint {own or openai}, but not which model to ask there."
    elif by_key:
        return by_key
    elif all(map(installed, EMBEDDED)):
        return "local"
    raise LLMUnavailable("\n".join([problem, *WAYS_OUT]))
