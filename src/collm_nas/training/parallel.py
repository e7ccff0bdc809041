"""Several processes that train one supernet."""

from __future__ import annotations

import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy


class SupernetDDP(DDPStrategy):
    """Data parallel without a reducer: the training step averages the gradients itself.

    The reducer of DistributedDataParallel expects one backward pass over known parameters. Here a
    step has several, over subnets that leave parameters out; see `average_over_processes`. The
    running statistics of batch norms stay those of each process; the first one's are saved, as in
    the papers' code. What a batch norm normalises with is `Recipe.micro_batch`.
    """

    def configure_ddp(self) -> None:
        """Wrap nothing; give all processes the weights of the first."""
        assert self.lightning_module is not None
        for tensor in self.lightning_module.state_dict().values():
            dist.broadcast(tensor, src=0)
