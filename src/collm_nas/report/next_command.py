"""What to type next, ready to be pasted into a shell."""

from __future__ import annotations

from collm_nas.config.quoting import quoted, shell_quoted


def next_command(script: str, *arguments: str, **settings: object) -> str:
    """Write e.g. `next: python evaluate.py run=runs/mine mode=export`.

    Args:
        script: the command.
        arguments: as they are typed, e.g. `mode=export`.
        settings: whose values are quoted where the grammar of overrides or a shell asks for it.
    """
    typed = [f"{key}={_written(value)}" for key, value in settings.items() if value is not None]
    return "next: " + " ".join(map(shell_quoted, ["python", script, *typed, *arguments]))


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return quoted(str(value))
