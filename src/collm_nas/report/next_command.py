"""What to type next, ready to be pasted into a shell."""

from __future__ import annotations

import re
import shlex

PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)


def next_command(script: str, *arguments: str, **settings: object) -> str:
    """Write e.g. `next: python evaluate.py run=runs/mine mode=export`.

    Args:
        script: the command.
        arguments: as they are typed, e.g. `mode=export`.
        settings: whose values are quoted where the grammar of overrides or a shell asks for it.
    """
    typed = [f"{key}={_written(value)}" for key, value in settings.items() if value is not None]
    return "next: " + shlex.join(["python", script, *typed, *arguments])


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return _quoted(str(value))


def _quoted(value: str) -> str:
    """Quote for Hydra: a backslash escapes quotes, and itself only in front of one or at the end.

    https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values
    """
    if PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(r'(\\*)("|$)', _escaped, value, count=0) + '"'


def _escaped(match: re.Match[str]) -> str:
    slashes, quote = match.groups()
    return slashes * 2 + (f"\\{quote}" if quote else "")
