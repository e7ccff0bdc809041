"""Published architectures of the AutoFormer space, by the names that `arch=` takes.

`autoformer_…` are those of https://github.com/microsoft/Cream, with top-1 75.3, 81.7 and 82.4 by
the released weights; `collm_autoformer_…` those of CoLLM-NAS (https://arxiv.org/abs/2509.26037),
with 75.3, 81.7 and 82.3 by the same. They are what a search has to beat under the same weights.
"""

from __future__ import annotations

from collm_nas.spaces.published import Published


def _net(size: str, embed_dim: int, doubled_ratios: str, heads: str) -> Published:
    """Read the lists as keys of the space have them: MLP ratios doubled, `a` for ten heads."""
    written = {
        "depth": len(heads),
        "embed_dim": embed_dim,
        "mlp_ratio": [int(digit, 36) / 2 for digit in doubled_ratios],
        "num_heads": [int(digit, 36) for digit in heads],
    }
    return Published(written, "autoformer", {"size": size})


PUBLISHED = {
    "autoformer_tiny": _net("tiny", 192, "7767668878787", "3333333333433"),
    "collm_autoformer_tiny": _net("tiny", 192, "7777777778787", "3333333333434"),
    "autoformer_small": _net("small", 384, "6767888888878", "6657555667767"),
    "collm_autoformer_small": _net("small", 384, "8877887788778", "5765765765765"),
    "autoformer_base": _net("base", 576, "77878776886867", "99999a99a9a99a"),
    "collm_autoformer_base": _net("base", 576, "77876786786767", "aaa9999aa99999"),
}
