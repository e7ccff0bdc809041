"""What a search or a training needs before it spends anything: all that lacks is told at once."""

from __future__ import annotations

import pkgutil
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from collm_nas.config.run import UserError
from collm_nas.llm.base import ChatModel, LLMUnavailable

LEAST_FREE_BYTES = 50e6  # archive, ledger and pictures of a long search; curves of a training


@runtime_checkable
class NeedsKey(Protocol):
    """A model that is asked with a key."""

    def api_key(self) -> str:
        """Return the key; `LLMUnavailable` where there is none."""


@runtime_checkable
class NeedsLogin(Protocol):
    """A class of loggers that report to a service."""

    @staticmethod
    def require_login() -> None:
        """See whether the service knows who reports; `UserError` if not."""


def all_of(*makers: Callable[[], Any]) -> list[Any]:
    """Make all parts of something, and tell everything that keeps any of them from being made.

    Raises:
        UserError: something is missing or wrong.
    """
    made, problems = [], []
    for make in makers:
        try:
            made.append(make())
        except (UserError, ValueError, LLMUnavailable) as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return made


def with_keys(models: Mapping[str, ChatModel], is_new: bool) -> Mapping[str, ChatModel]:
    """Return `models`; of a new search each must have its key, a finished one asks nothing.

    Raises:
        UserError: some have none; all are named.
    """
    if is_new:
        all_of(*(model.api_key for model in models.values() if isinstance(model, NeedsKey)))
    return models


def require_logins(loggers: Mapping[str, Any]) -> None:
    """See whether the loggers of a config, by name, can report.

    Raises:
        UserError: some cannot; the message says what to do.
    """
    kinds = [pkgutil.resolve_name(node["_target_"]) for node in loggers.values() if node]
    all_of(*(kind.require_login for kind in kinds if isinstance(kind, NeedsLogin)))


def require_room(run_dir: Path, files: float = 0.0) -> None:
    """See whether a run can be recorded.

    Args:
        files: bytes of what it leaves besides its records.

    Raises:
        UserError: the disk has not as much room.
    """
    free, needed = shutil.disk_usage(run_dir).free, files + LEAST_FREE_BYTES
    if free < needed:
        raise UserError(
            f"the disk of {run_dir} has too little room: {free / 1e6:,.0f} MB are free, and about "
            f"{needed / 1e6:,.0f} are needed. Make room, or choose another directory: run_dir=…"
        )
