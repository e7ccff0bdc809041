"""Search a space: `python search.py searchspace=nasbench201 strategy=collm llm=gpt4`.

Repeat a command to continue its run. `python search.py --help` lists groups and settings.
"""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="search")
def main(cfg: DictConfig) -> None:
    """Compose, build, run, report."""
    from collm_nas import session
    from collm_nas.compose import choose_llm, choose_run_dir, recorded
    from collm_nas.report.errors import told_plainly
    from collm_nas.settings import SearchSettings, check

    with told_plainly():
        cfg = recorded(cfg) if cfg.replay else choose_llm(cfg)
        check(cfg, SearchSettings)
        if cfg.estimate:
            from collm_nas.estimate import print_estimate

            print_estimate(cfg)
            return
        session.run(cfg, choose_run_dir(cfg))


if __name__ == "__main__":
    from pathlib import Path

    from collm_nas.hints import near_matches_on_failure

    with near_matches_on_failure(Path(__file__).parent / "conf", "search"):
        main()
