"""A subnet in files: weights as safetensors, and a JSON that says all there is to know to use it.

The JSON names the space with its arguments and the architecture as people write it, so that the
network is rebuilt by this package; and how an image becomes the network's input, so that other
programs need nothing else. Nothing is unpickled, and of what the JSON names only search spaces of
this package, and of those packages that the caller trusts, are built.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from collm_nas.config.renamed import SPELLING, current_name
from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.files import write_atomically
from collm_nas.data.pixels import PixelFormat
from collm_nas.data.view import View
from collm_nas.evaluator.batchnorm import fold_batch_norms
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import build_supernet

FORMAT = "collm-nas subnet 1"
WEIGHTS, CONFIG = "subnet.safetensors", "subnet.json"
OURS = "collm_nas.spaces"  # a package of search spaces


class WrongPackage(ValueError):
    """Files that hold no subnet; the message says what is wrong with which."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input, without a word of this project.

    Scale the shorter side to `resize` pixels, cut out the centre of `size` by `size`, take the
    channels in the order of `channels`, and compute `(value - mean) / std` with values from 0 to
    255 and both lists in that order. The layout is NCHW, in single precision.
    """

    size: int
    resize: int
    interpolation: str  # Pillow's antialiased bilinear or bicubic; opencv: bilinear without that
    channels: str  # RGB or BGR
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, view: View, pixels: PixelFormat) -> Preprocessing:
        """Describe what `view` and `pixels` do."""
        step = -1 if pixels.bgr else 1
        return cls(
            view.size,
            view.shorter_side,
            view.interpolation,
            "RGB"[::step],
            pixels.mean[::step],
            pixels.std[::step],
        )


class Subnet(nn.Module):
    """A subnet read from its files: the network, and `info`, what its JSON says."""

    def __init__(self, network: nn.Module, info: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.info = info

    def forward(self, images: Tensor) -> Tensor:
        """Classify images (N, 3, size, size), preprocessed; return logits (N, classes)."""
        logits: Tensor = self.network(images)
        return logits


def save_subnet(
    folder: Path,
    subnet: nn.Module,
    space: Mapping[str, Any],
    architecture: Any,
    preprocessing: Preprocessing,
    info: Mapping[str, Any],
) -> None:
    """Write weights and JSON into `folder`, each all or nothing.

    Args:
        subnet: in evaluation mode, with its batch norms folded.
        space: the config node of its search space: `_target_`, arguments.
        architecture: as the space encodes it.
        info: what else is known, e.g. classes, metrics and their protocol.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "space": dict(space),
        "architecture": architecture,
        "input": asdict(preprocessing),
        **info,
    }
    weights = {name: t.detach().cpu().contiguous() for name, t in subnet.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(weights))
    write_atomically(folder / CONFIG, json.dumps(content, indent=2, ensure_ascii=False))


def load_subnet(folder: Path, spaces: Collection[str] = ()) -> Subnet:
    """Read what `save_subnet` wrote; the network is on the CPU, in evaluation mode.

    Args:
        spaces: packages whose search spaces may be built beside those of this one. They are
            imported, so name only what you would import yourself.

    Raises:
        WrongPackage: a file is missing, damaged, or does not fit the other.
    """
    info = _read_config(folder)
    space = _build_space(folder, info["space"], (OURS, *spaces))
    try:
        arch = space.decode(info["architecture"])
        weights = load_file(folder / WEIGHTS)
        network = _frame(space, arch)
        network.load_state_dict(weights)
    except InvalidArchitecture as error:
        raise WrongPackage(f"{folder / CONFIG}: architecture: {error}") from error
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WrongPackage(
            f"{folder / WEIGHTS} does not hold the weights that {CONFIG} describes: {error}"
        ) from error
    return Subnet(network, info).eval()


def _frame(space: SearchSpace, arch: Architecture) -> nn.Module:
    """Build the folded network of `arch`, with any weights; the caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        network = build_supernet(space).extract(arch).eval()
    fold_batch_norms(network)
    return network


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WrongPackage(f"{path} cannot be read: {error}. mode=export writes it") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise WrongPackage(f"{path} does not describe a subnet (format: {FORMAT})")
    if not isinstance(info.get("space"), dict) or "architecture" not in info:
        raise WrongPackage(f"{path} lacks the space or the architecture. mode=export writes it")
    return info


def _build_space(folder: Path, node: Mapping[str, Any], trusted: Sequence[str]) -> SearchSpace:
    """Build the space; names from outside the trusted packages are refused, unread."""
    target = current_name(str(node.get("_target_", "")))
    if not target.startswith(tuple(f"{package}." for package in trusted)):
        package = target.partition(".")[0]
        raise WrongPackage(
            f"{folder / CONFIG}: space: {target!r} is none of {', '.join(trusted)}. If it is a "
            f"search space that you trust: load_subnet(folder, spaces=[{package!r}])"
        )
    try:
        kind = resolve_name(target)
        arguments = {k: v for k, v in node.items() if k not in ("_target_", *SPELLING)}
        if not (isinstance(kind, type) and issubclass(kind, SearchSpace)):
            raise TypeError(f"{target} is no search space")
        return kind(**arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise WrongPackage(f"{folder / CONFIG}: space: {error}") from error
