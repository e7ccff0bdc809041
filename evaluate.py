"""Say what an architecture is worth: `python evaluate.py run=RUN`, or `arch=spos_readme …`.

The search itself never sees a test accuracy. docs/evaluate.md tells all modes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.cli.entry import Done, start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> Done:
    """Take the settings of the run, evaluate, report."""
    from hydra.core.hydra_config import HydraConfig

    from collm_nas.cli.compose import with_settings_of_run
    from collm_nas.cli.evaluate import command
    from collm_nas.cli.settings import EvaluationSettings, check

    check(cfg, EvaluationSettings)
    cfg = with_settings_of_run(cfg)
    command.run(cfg)
    return Done(next=command.next_step(cfg, HydraConfig.get().overrides.task))


if __name__ == "__main__":
    start(main, "evaluate", Path(__file__).parent / "conf", copied="arch")
