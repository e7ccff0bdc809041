"""Architectures of the AutoFormer space that were published with their accuracy.

They are what a search has to beat under the same weights, and they pin the costs. The lists are
written as in the keys of the space: MLP ratios doubled, `a` for ten heads.
"""

from __future__ import annotations

from typing import Any

from collm_nas.spaces.autoformer.space import DIGITS

Wire = dict[str, Any]


def _wire(embed_dim: int, doubled_ratios: str, heads: str) -> Wire:
    return {
        "depth": len(heads),
        "embed_dim": embed_dim,
        "mlp_ratio": [DIGITS.index(letter) / 2 for letter in doubled_ratios],
        "num_heads": [DIGITS.index(letter) for letter in heads],
    }


# By size. AutoFormer: https://github.com/microsoft/Cream, with top-1 75.3, 81.7 and 82.4 by the
# released weights. CoLLM-NAS: https://arxiv.org/abs/2509.26037, 75.3, 81.7 and 82.3 by the same.
PUBLISHED: dict[str, dict[str, Wire]] = {
    "tiny": {
        "AutoFormer-T": _wire(192, "7767668878787", "3333333333433"),
        "CoLLM-T": _wire(192, "7777777778787", "3333333333434"),
    },
    "small": {
        "AutoFormer-S": _wire(384, "6767888888878", "6657555667767"),
        "CoLLM-S": _wire(384, "8877887788778", "5765765765765"),
    },
    "base": {
        "AutoFormer-B": _wire(576, "77878776886867", "99999a99a9a99a"),
        "CoLLM-B": _wire(576, "77876786786767", "aaa9999aa99999"),
    },
}
