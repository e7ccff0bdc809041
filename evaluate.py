"""Say what an architecture is worth: `python evaluate.py run=RUN`, or `arch=spos_readme …`.

The search itself never sees a test accuracy. docs/evaluate.md tells all modes.
"""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Take the settings of the run, evaluate, report."""
    from collm_nas.compose import with_settings_of_run
    from collm_nas.evaluation import command
    from collm_nas.report.errors import told_plainly
    from collm_nas.settings import EvaluationSettings, check

    with told_plainly():
        check(cfg, EvaluationSettings)
        command.run(with_settings_of_run(cfg))


if __name__ == "__main__":
    from pathlib import Path

    from collm_nas.hints import near_matches_on_failure

    with near_matches_on_failure(Path(__file__).parent / "conf", "evaluate"):
        main()
