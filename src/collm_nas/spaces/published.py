"""Every published architecture under one name: what `arch=spos_readme` means on a command line.

`collm_…` are the nine that CoLLM-NAS prints (https://arxiv.org/abs/2509.26037, table 8), the others
those of the authors of the spaces; the modules they are written in cite them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.spaces.autoformer import published as autoformer_published
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet import published as mobilenet_published
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.shufflenet import space as shufflenet


@dataclass(frozen=True)
class Published:
    """An architecture, and the settings of the space that it was published in."""

    wire: Any  # what the space reads under its official names
    settings: str
    width: float | None = None  # the width multiplier that MobileNets need

    def within(self, space: SearchSpace) -> Architecture | None:
        """Return the architecture in `space`, told by official names; `None`: it is of another."""
        if self.width is not None and not (
            isinstance(space, MobileNet) and space.skeleton.width == self.width
        ):
            return None
        try:
            return space.decode(self.wire)
        except InvalidArchitecture:
            return None


def _shufflenets() -> dict[str, Published]:
    names = {"spos_readme": "SPOS", "collm_spos": "CoLLM-NAS"}
    return {
        name: Published(shufflenet.PUBLISHED[key], "searchspace=shufflenet")
        for name, key in names.items()
    }


def _mobilenets() -> dict[str, Published]:
    """Name e.g. `note10_lat@11ms_top1@73.6_finetune@25` `ofa_note10_lat-11ms`."""
    sizes = {"t": "OFA-T+", "s": "OFA-S+", "s_star": "OFA-S*+", "b": "OFA-B+", "l": "OFA-L+"}
    found = {
        f"collm_ofa_{size}": Published(
            mobilenet_published.PUBLISHED[key], "searchspace=mobilenet", 1.2
        )
        for size, key in sizes.items()
    }
    for name, net in mobilenet_published.SPECIALISED.items():
        width, resolution = net.width, net.wire["r"][0]
        settings = f"searchspace.width={width} searchspace.resolutions=[{resolution}]"
        short = name.partition("_top1")[0].replace("@", "-").lower()
        found[f"ofa_{short}"] = Published(net.wire, f"searchspace=mobilenet {settings}", width)
    return found


def _autoformers() -> dict[str, Published]:
    return {
        f"{prefix}autoformer_{size}": Published(
            wire, f"searchspace=autoformer searchspace.size={size}"
        )
        for size, wires in autoformer_published.PUBLISHED.items()
        for prefix, wire in zip(("", "collm_"), wires.values(), strict=True)
    }


PUBLISHED: dict[str, Published] = {**_shufflenets(), **_mobilenets(), **_autoformers()}


def near_matches(name: str) -> list[str]:
    """Return the published names that are spelled nearly like `name`."""
    return difflib.get_close_matches(name, PUBLISHED, n=3, cutoff=0.5)


def of_space(space: SearchSpace) -> dict[str, Architecture]:
    """Return the published architectures that belong to `space`, told by official names."""
    found = ((name, published.within(space)) for name, published in PUBLISHED.items())
    return {name: arch for name, arch in found if arch is not None}
