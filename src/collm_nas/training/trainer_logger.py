"""The loggers of a config as Lightning knows them, so that all callbacks log to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger as LightningBase
from pytorch_lightning.utilities import rank_zero_only

from collm_nas.logger.base import Logger


class TrainerLogger(LightningBase):
    """Hands on what Lightning's trainer and callbacks log."""

    name = version = None

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """See `Logger`; what belongs to no step is not logged."""
        if step is not None:
            self.logger.log(metrics, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: loggers are built with all settings."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.logger.finish()
