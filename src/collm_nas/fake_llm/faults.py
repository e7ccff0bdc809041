"""Personas of a server that does not answer: what goes wrong with which request.

Where a server recovers, it does so for each question of its own, so that a question that is asked
again is answered, and requests in parallel do not disturb one another.
"""

from __future__ import annotations

FAULTS = ("rate_limit", "server_error", "hang", "connection_reset", "wrong_content_type")
FAULTY = (*FAULTS, "flaky")
BEHIND = "sensible"  # the persona that answers once nothing goes wrong


def fault(persona: str, question: int, attempt: int) -> str | None:
    """Say what goes wrong, if anything, with the n-th different question, asked before or not.

    `rate_limit` refuses every question once. `flaky` fails once with every question, in each way
    in turn. The others never answer.

    Args:
        question: counts the different questions, from 0.
        attempt: how often this one was asked before.
    """
    match persona:
        case "flaky":
            return FAULTS[question % len(FAULTS)] if attempt == 0 else None
        case "rate_limit":
            return persona if attempt == 0 else None
    return persona if persona in FAULTS else None
