"""How long AutoFormer's subnets take on a CPU, and what the time is spent on.

`PYTHONPATH=src python benchmarks/autoformer_forward.py` compares, over random architectures, the
supernet in place, the extracted subnet, and the extracted subnet with attention as it is defined:
with one relative position for every pair of tokens, as the original computes it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from collm_nas.spaces.autoformer.costs import HEAD_DIM
from collm_nas.spaces.autoformer.network import Attention, PatchGrid, RelativePositions
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.autoformer.supernet import AutoFormerSupernet

KINDS = {
    "addmm": "linear layers",
    "flash_attention": "fused attention",
    "bmm": "relative positions",
    "index": "relative positions",
    "cat": "joining queries, keys, values with positions",
    "gelu": "GELU",
    "layer_norm": "layer norms",
    "convolution": "patch embedding",
    "copy_": "copies",
    "add": "sums",
}


class DefinedAttention(nn.Module):
    """The same attention, by its definition: tensors of T x T x D for keys and for values."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.fast = attention

    def forward(self, x_NTE: Tensor, grid: PatchGrid) -> Tensor:
        fast = self.fast
        qkv = fast.qkv(x_NTE).unflatten(-1, (3, fast.num_heads, HEAD_DIM))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        to_keys = relate_pairs(fast.rel_pos_embed_k, grid)
        to_values = relate_pairs(fast.rel_pos_embed_v, grid)
        logits = q @ k.transpose(-2, -1) + torch.einsum("nhid,ijd->nhij", q, to_keys)
        attention = (logits * HEAD_DIM**-0.5).softmax(-1)
        out = attention @ v + torch.einsum("nhij,ijd->nhid", attention, to_values)
        return fast.proj(out.transpose(1, 2).flatten(2))


def relate_pairs(positions: RelativePositions, grid: PatchGrid) -> Tensor:
    """Look up every pair of tokens; return (T, T, D)."""
    side = grid.rows_TG.shape[1]
    rows_TT = F.pad(grid.rows_TG.repeat_interleave(side, dim=1), (1, 0))
    columns_TT = F.pad(grid.columns_TG.repeat(1, side), (1, 0))
    return positions.embeddings_table_v[rows_TT] + positions.embeddings_table_h[columns_TT]


def defined(subnet: nn.Module) -> nn.Module:
    """Copy `subnet` with attention by its definition."""
    copy = deepcopy(subnet)
    for block in copy.get_submodule("blocks").children():
        block.attn = DefinedAttention(block.attn)
    return copy


def milliseconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the median CPU time, which other work on the machine changes least, when warm."""
    times = []
    for _ in range(1 + repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * median(times[1:])


def shares(subnet: nn.Module, images: Tensor) -> Counter[str]:
    """Return what the time of one forward pass is spent on, in percent."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        subnet(images)
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        kind = next((k for name, k in KINDS.items() if name in event.key), "all else")
        spent[kind] += event.self_cpu_time_total
    return Counter({kind: 100 * t / spent.total() for kind, t in spent.items()})


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--archs", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = AutoFormer(args.size)
    supernet = AutoFormerSupernet(space).eval()
    rng, images = random.Random(0), torch.randn(args.batch, 3, space.side, space.side)
    rows, profiles = [], Counter()
    for _ in range(args.archs):
        arch = space.sample(rng)
        subnet = supernet.extract(arch)
        by_definition = defined(subnet)
        torch.testing.assert_close(by_definition(images), subnet(images), rtol=1e-4, atol=1e-5)
        rows.append(
            {
                "extract": milliseconds(lambda arch=arch: supernet.extract(arch)),
                "forward, in place": milliseconds(lambda arch=arch: supernet(images, arch)),
                "forward, extracted": milliseconds(lambda net=subnet: net(images)),
                "forward, by definition": milliseconds(lambda net=by_definition: net(images)),
            }
        )
        profiles.update(shares(subnet, images))
    print(f"{args.size}, batch {args.batch}, 1 thread, {args.archs} architectures")
    for name in rows[0]:
        print(f"{name:24}{median(row[name] for row in rows):9.1f} ms")
    for place in ("in place", "extracted"):
        ratio = median(row["forward, by definition"] / row[f"forward, {place}"] for row in rows)
        print(f"{place}: {ratio:.2f} times as fast as by definition")
    for kind, share in profiles.most_common():
        print(f"{share / args.archs:5.1f} %  {kind}")


if __name__ == "__main__":
    main()
