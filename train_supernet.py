"""Train a supernet: `python train_supernet.py searchspace=shufflenet data=imagenet trainer=ddp`.

Repeat a command to continue its run. `python train_supernet.py --help` lists groups and settings.
"""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="train_supernet")
def main(cfg: DictConfig) -> None:
    """Compose, build, train, report."""
    from collm_nas.compose import choose_training_dir
    from collm_nas.report.errors import told_plainly
    from collm_nas.settings import SupernetSettings, check

    with told_plainly():
        check(cfg, SupernetSettings)
        from collm_nas import training

        training.run(cfg, choose_training_dir(cfg))


if __name__ == "__main__":
    from pathlib import Path

    from collm_nas.hints import near_matches_on_failure

    with near_matches_on_failure(Path(__file__).parent / "conf", "train_supernet"):
        main()
