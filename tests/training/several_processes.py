"""A training in several processes, each of which writes down what its weights are at the end.

python several_processes.py FOLDER OVERRIDES...   the folder gets weights-RANK.pt
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch

from collm_nas.cli import training_run as training
from collm_nas.spaces.autoformer.network import DropPath
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.phases import run_phases
from tests.conftest import load


class WritesWeights(L.Callback):
    """Stores each process's weights, and the subnets that it drew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.drawn = folder, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.drawn.append([str(arch) for arch in outputs["subnets"]])

    def on_train_end(self, trainer, pl_module):
        content = {"weights": pl_module.network.state_dict(), "subnets": self.drawn}
        torch.save(content, self.folder / f"weights-{trainer.global_rank}.pt")


def main(folder: Path, *overrides: str) -> None:
    cfg = training.own_part(load("train_supernet", *overrides))
    job = training.build_job(cfg, folder)

    def trainer(callbacks: list[L.Callback], **parts: Any) -> L.Trainer:
        return job.trainer(callbacks=[*callbacks, WritesWeights(folder)], **parts)

    torch.manual_seed(0)
    network = build_supernet(job.space)
    DropPath.forward = lambda self, x: x  # each process would drop paths of its own images
    run_phases(replace(job, trainer=trainer), network)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
