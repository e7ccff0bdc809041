"""Personas of a server that does not answer: what goes wrong, request by request.

Where a server recovers, it does so for each question of its own, so that requests in parallel do
not disturb one another and every search meets every fault.
"""

from __future__ import annotations

FAULTS = ("rate_limit", "server_error", "hang", "connection_reset", "wrong_content_type")
FAULTY = (*FAULTS, "flaky")
BEHIND = "sensible"  # the persona that answers once nothing goes wrong


def fault(persona: str, attempt: int) -> str | None:
    """Say what goes wrong with a question that was asked `attempt` times before, if anything.

    `rate_limit` refuses once, `flaky` fails in each way in turn; both answer after that. The
    others never answer.
    """
    match persona:
        case "flaky":
            return FAULTS[attempt] if attempt < len(FAULTS) else None
        case "rate_limit":
            return persona if attempt == 0 else None
    return persona if persona in FAULTS else None
