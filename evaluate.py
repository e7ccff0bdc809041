"""Unseal the test accuracy of what a search found: `python evaluate.py run=RUN table=FILE`.

`rank=2` takes the runner-up of the run. The search itself never sees a test accuracy.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Read the run, look its architecture up, report."""
    from collm_nas.report.errors import told_plainly
    from collm_nas.report.sealed import evaluate
    from collm_nas.report.stored import read_run

    with told_plainly():
        evaluate(read_run(Path(cfg.run)), cfg.rank, cfg.table)


if __name__ == "__main__":
    main()
