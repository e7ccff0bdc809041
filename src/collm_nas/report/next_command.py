"""What to type next, ready to be pasted into a shell."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

from omegaconf import DictConfig

from collm_nas.config.quoting import quoted, shell_quoted
from collm_nas.core.checkout import typed


def next_command(script: str, *arguments: str, **settings: object) -> str:
    """Write e.g. `next: python evaluate.py run=runs/mine mode=export`.

    Args:
        script: the command.
        arguments: as they are typed, e.g. `mode=export`.
        settings: whose values are quoted where the grammar of overrides or a shell asks for it.
    """
    settled = [f"{key}={_written(value)}" for key, value in settings.items() if value is not None]
    return " ".join(["next:", typed(script), *map(shell_quoted, [*settled, *arguments])])


def evaluation_of(cfg: DictConfig, run_dir: Path, table: str | None = None) -> str:
    """Write the command that evaluates the best of a search.

    It is empty where that cannot be done: accuracies were predicted, or looked up in a table that
    has no test accuracies.

    Args:
        cfg: the settings of the search.
        table: one that has some; None: the one that was searched, if that is not the embedded one.
    """
    if report_mode(cfg) == "inherit":
        return next_command("evaluate.py", run=run_dir)
    if table := table or cfg.evaluator.get("table"):
        return next_command("evaluate.py", run=run_dir, table=table)
    return ""


def report_mode(cfg: DictConfig) -> str:
    """Return the mode of evaluate.py that reports on what a search found; empty if none does.

    The class of its evaluator says so, by the attribute `report_mode`.
    """
    try:
        return str(getattr(resolve_name(str(cfg.evaluator.get("_target_"))), "report_mode", ""))
    except (ImportError, AttributeError, ValueError):
        return ""  # building it says what is wrong


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return quoted(str(value))
