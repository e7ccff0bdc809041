"""What a search needs before its first call is paid: all that is missing is told at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from collm_nas.config.run import UserError
from collm_nas.llm.base import ChatModel, LLMUnavailable

LEAST_FREE_BYTES = 50e6  # archive, ledger and pictures of a long search


@runtime_checkable
class NeedsKey(Protocol):
    """A model that is asked with a key."""

    def api_key(self) -> str:
        """Return the key; `LLMUnavailable` where there is none."""


def all_of(*makers: Callable[[], Any]) -> list[Any]:
    """Make all parts of a search, and tell everything that keeps any of them from being made.

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


def require_room(run_dir: Path) -> None:
    """Look whether a search can be recorded.

    Raises:
        UserError: the disk is all but full.
    """
    free = shutil.disk_usage(run_dir).free
    if free < LEAST_FREE_BYTES:
        raise UserError(
            f"the disk of {run_dir} is all but full: {free / 1e6:.0f} MB are free. Make room, or "
            "choose another directory: run_dir=…"
        )
