"""How often something happens while a phase trains."""

from __future__ import annotations

from dataclasses import dataclass

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Count, Positive


@checked
@dataclass(frozen=True)
class Pace:
    """How often something happens while a phase trains.

    Args:
        validate_every_epochs: measure the anchors; they are measured at the end of a phase, too.
        log_every_steps: log loss, learning rate and rate.
        checkpoint_every_steps: write `last.ckpt`.
        checkpoint_every_seconds: the same, by time.
    """

    validate_every_epochs: Positive = 1.0
    log_every_steps: Count = 50
    checkpoint_every_steps: Count = 1000
    checkpoint_every_seconds: Positive = 300.0
