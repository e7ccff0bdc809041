"""Train a supernet: `python train_supernet.py searchspace=shufflenet data=imagenet trainer=ddp`.

Repeat a command to continue its run. `python train_supernet.py --help` lists groups and settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.cli.entry import Done, start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> Done:
    """Compose, build, train, report."""
    from hydra.core.hydra_config import HydraConfig

    from collm_nas.cli.compose import choose_training_dir
    from collm_nas.cli.settings import SupernetSettings, check

    check(cfg, SupernetSettings)
    from collm_nas.cli import training_run as training

    run_dir = choose_training_dir(cfg)
    result = training.run(cfg, run_dir)
    return Done(run_dir, training.next_step(HydraConfig.get().overrides.task, result))


if __name__ == "__main__":
    start(main, "train_supernet", Path(__file__).parent / "conf")
