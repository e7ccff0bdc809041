"""What a person can do when a server does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collm_nas.llm.verdict import Cause, Failure

HINTS: dict[Cause | int | None, str] = {
    "format": "Ask for another format: llm.model.structured=auto.",
    "writing": "The model does not write what the server checks: llm.model.structured=text.",
    400: "If it refuses a parameter, leave that out: null, e.g. llm.model.temperature=null.",
    402: "Pay the provider, or choose another model: llm=…",
    404: "Check the model's id (llm.model.model) and the address (llm.model.base_url).",
    429: "Wait, or ask fewer tokens at a time.",
    None: "Check that the server runs, and its address (llm.model.base_url).",
}
CONTEXT_FULL = (
    "The prompt, with the room for an answer (llm.model.{limit}: {room}), has outgrown the context "
    "of the model. Any of these lets the run go on: less room, llm.model.{limit}={less}; the same "
    "model served with a longer context, llm.model.base_url=…; another model, continue_with=… (an "
    "option of llm)."
)


def advice(failure: Failure, parameters: Mapping[str, Any], api_key_env: str | None) -> str:
    """Say what may help, given the parameters of the model and the variable of its key."""
    if failure.cause == "context":
        limit = "max_tokens" if "max_tokens" in parameters else "max_completion_tokens"
        room = parameters.get(limit)
        return CONTEXT_FULL.format(
            limit=limit, room=room or "the server's own", less=max(1, room // 2) if room else "…"
        )
    if failure.status in (401, 403):
        where = api_key_env or "a variable that llm.model.api_key_env names"
        return f"Check the key in {where}."
    if failure.wait:
        return f"It asks to wait (Retry-After: {failure.wait})."
    return HINTS.get(failure.cause) or HINTS.get(failure.status, "")
