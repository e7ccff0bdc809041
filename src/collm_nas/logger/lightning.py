"""Lightning's own loggers: TensorBoard, MLflow and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collm_nas.config.run import UserError
from collm_nas.logger.base import LoggedRun, Metrics


class LightningLogger:
    """Logs numbers through a logger of Lightning, which is told to write beside the run's files.

    Args:
        logger: one but for its `save_dir`: in a config, a node with `_partial_: true`.

    Raises:
        UserError: the package that it writes with is not installed.
    """

    def __init__(self, run: LoggedRun, logger: Callable[..., Any]) -> None:
        try:
            self.logger = logger(save_dir=run.folder)
        except ModuleNotFoundError as error:
            raise UserError(f"logger: {error}") from error

    def log(self, metrics: Metrics, step: int) -> None:
        """See `Logger`; texts are left out."""
        numbers = {name: x for name, x in metrics.items() if isinstance(x, int | float)}
        self.logger.log_metrics(numbers, step)
        self.logger.save()

    def finish(self) -> None:
        self.logger.finalize("success")
