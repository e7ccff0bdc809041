"""Published architectures of SPOS's space, by the names that `arch=` takes.

`spos_readme` is that of https://github.com/megvii-model/SinglePathOneShot, `collm_spos` that of
CoLLM-NAS (https://arxiv.org/abs/2509.26037, table 8).
"""

from __future__ import annotations

from collm_nas.spaces.published import Published

PUBLISHED = {
    "spos_readme": Published(
        {"ops": [2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3]}, "shufflenet"
    ),
    "collm_spos": Published(
        {"ops": [0, 0, 3, 3, 3, 2, 1, 3, 3, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3]}, "shufflenet"
    ),
}
