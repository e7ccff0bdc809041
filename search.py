"""Search a space: `python search.py searchspace=nasbench201 strategy=collm llm=gpt4`.

Repeat a command to continue its run. `python search.py --help` lists groups and settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from collm_nas.cli.entry import Done, start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> Done:
    """Compose, build, run, report."""
    from collm_nas.cli import session
    from collm_nas.cli.compose import choose_llm, choose_run_dir, recorded, with_other_model
    from collm_nas.cli.settings import SearchSettings, check

    cfg = recorded(cfg) if cfg.replay else choose_llm(cfg)
    check(cfg, SearchSettings)
    if cfg.estimate:
        from collm_nas.cli.estimate import print_estimate

        print_estimate(cfg)
        return Done()
    run_dir = choose_run_dir(cfg)
    result = session.run(with_other_model(cfg), run_dir)
    return Done(run_dir, session.next_step(cfg, run_dir, result))


if __name__ == "__main__":
    start(main, "search", Path(__file__).parent / "conf")
