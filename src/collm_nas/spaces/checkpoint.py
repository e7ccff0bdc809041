"""Weights of supernets in files: ours, and those that the original authors released.

A file of ours (safetensors) says which space it belongs to, and another space refuses it. A
released file is recognised by its tensors: every weight of the supernet must be in it exactly once
and in the right shape, so that a wrong file is an error here and not a poor accuracy later.
Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import json
import pickle
import re
import shlex
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from collm_nas.core.arguments import key_of, misfits
from collm_nas.core.files import write_atomically
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import OfficialWeights, Supernet, build_supernet, supernet_class

State = dict[str, Tensor]
Shape = TypeVar("Shape")
FORMAT = "collm-nas supernet 1"
INFO = "collm_nas"  # the one entry of metadata, as JSON: safetensors writes several in any order
# What training loops put beside weights: their options, and numbers and arrays of numpy.
BESIDE = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
)
SHOWN = 3  # differences of each kind in a message

# What torch.load raises for a file that torch.save did not write, or not all of.
UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    struct.error,
)


class WrongCheckpoint(ValueError):
    """A file that does not hold the weights asked for; the message says what differs."""


def load_supernet(path: Path, space: SearchSpace) -> Supernet:
    """Build the supernet of `space` with the weights in `path`, ours or the released ones.

    Raises:
        FileNotFoundError: there is no such file; the message says where to get it.
        WrongCheckpoint: it is not a file of weights, or not of this space.
    """
    if not path.is_file():
        train = "train your own supernet: python train_supernet.py"
        way = f"No weights are published for {space.identity}: {train}"
        if published := official_weights(space):
            way = (
                f"The published weights of {space.identity} are {published}. Put that file there, "
                f"or {train}"
            )
        raise FileNotFoundError(f"{path} does not exist (config key: supernet). {way}")
    info = supernet_info(path)
    state = load_file(path) if _is_safetensors(path) else _tensors(path, _read(path))
    if info.get("format") == FORMAT:
        if (stored := info.get("space", "nothing")) != space.identity:
            raise WrongCheckpoint(
                f"{path} holds the supernet of another space:\n"
                f"  in the file: {stored}\n"
                f"  asked for:   {space.identity}\n"
                "Choose the space it was trained with (config key: searchspace), or another file "
                "(config key: supernet)."
            )
    else:
        state = supernet_class(space).official_names(rename(state, _unwrapped))
    supernet = build_supernet(space)
    _refuse_differences(path, state, supernet, space)
    supernet.load_state_dict(state)
    return supernet


def save_supernet(
    path: Path,
    supernet: Supernet,
    space: SearchSpace,
    info: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the weights of `supernet`, the identity of its space and `info`, all or nothing.

    The file is safetensors. Equal weights and info make equal files, byte for byte.
    """
    known = {"format": FORMAT, "space": space.identity}
    state = {name: tensor.contiguous() for name, tensor in supernet.state_dict().items()}
    write_atomically(path, save(state, {INFO: json.dumps({**info, **known}, sort_keys=True)}))


def supernet_info(path: Path) -> dict[str, str]:
    """Return what a file of ours says of itself, e.g. `space`; empty for a released file.

    Raises:
        WrongCheckpoint: it begins like a file of ours and is damaged.
    """
    if not _is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {}).get(INFO, "{}"))
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WrongCheckpoint(f"{path} is damaged: {error}.") from error
    if found := misfits(info, dict[str, str]):
        told = "; ".join(problem.told(key_of(problem.path) or INFO) for problem in found)
        raise WrongCheckpoint(f"{path} is damaged: in its metadata {told}.")
    return dict(info)


def info_of(path: Path, key: str, shape: type[Shape]) -> Shape | None:
    """Return what a file of ours says of itself under `key`, as JSON; `None` if it does not.

    Raises:
        WrongCheckpoint: it is damaged.
    """
    text = supernet_info(path).get(key)
    if text is None:
        return None
    try:
        value: Shape = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongCheckpoint(f"{path} is damaged: {key} in its metadata: {error}.") from error
    if found := misfits(value, shape):
        told = "; ".join(problem.told(key_of((key, *problem.path))) for problem in found)
        raise WrongCheckpoint(f"{path} is damaged: in its metadata {told}.")
    return value


def official_weights(space: SearchSpace) -> OfficialWeights | None:
    """Return where the weights of `space` are published, if they are."""
    return supernet_class(space).official_weights.get(space.identity)


def rename(state: Mapping[str, Tensor], new_name: Callable[[str], str]) -> State:
    """Rename all tensors.

    Raises:
        WrongCheckpoint: two of them would get the same name.
    """
    renamed: State = {}
    for name, tensor in state.items():
        if (new := new_name(name)) in renamed:
            raise WrongCheckpoint(f"two tensors of the file would both be {new}; one is {name}")
        renamed[new] = tensor
    return renamed


def _unwrapped(name: str) -> str:
    """Drop what `DataParallel` and `torch.compile` put into a name, as often as they did."""
    name = name.removeprefix("_orig_mod.").replace("._orig_mod.", ".")
    return _unwrapped(name.removeprefix("module.")) if name.startswith("module.") else name


class _Beside:
    """Stands in for what lies beside the weights: it takes anything and does nothing."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _is_safetensors(path: Path) -> bool:
    """Tell whether a file begins like one: 8 bytes of length, then a JSON object."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read(path: Path) -> dict[str, Any]:
    """Read the outermost mapping of a file that torch wrote."""
    try:
        with torch.serialization.safe_globals([(_Beside, name) for name in BESIDE]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it holds a {foreign[1]}, which is not loaded" if foreign else "it cannot be read"
        raise WrongCheckpoint(
            f"{path} is not a file of weights alone, or a damaged one: {what}."
            + (_how_to_save_weights_alone(path) if foreign else "")
        ) from error
    if not isinstance(content, dict):
        raise WrongCheckpoint(f"{path} holds a {type(content).__name__}, expected a state dict")
    return content


def _tensors(path: Path, content: Mapping[str, Any]) -> State:
    """Return the weights of a released file, which may lie under `state_dict` or `model`."""
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
    tensors = {name: t for name, t in content.items() if isinstance(t, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(content)[:SHOWN]))
        raise WrongCheckpoint(f"{path} holds no weights, only {keys or 'nothing'}")
    return tensors


def _refuse_differences(
    path: Path, state: Mapping[str, Tensor], supernet: Supernet, space: SearchSpace
) -> None:
    own = supernet.state_dict()
    shapes = [
        f"{name}: {tuple(state[name].shape)} in the file, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    differences = {
        "missing": [name for name in own if name not in state],
        "not expected": [name for name in state if name not in own],
        "other shapes": shapes,
    }
    lines = [f"  {kind}: {_first(names)}" for kind, names in differences.items() if names]
    if lines:
        published = official_weights(space)
        expected = f"\nIts published weights are {published}." if published else ""
        head = f"{path} does not fit the supernet of {space.identity}:"
        raise WrongCheckpoint("\n".join([head, *lines]) + expected)


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return "; ".join(names[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _how_to_save_weights_alone(path: Path) -> str:
    target = path.with_name(f"{path.stem}-weights.pth")
    program = (
        f"import torch; c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
        "m = (c.get('state_dict') or c.get('model') or c) if isinstance(c, dict) else c; "
        "m = m if isinstance(m, dict) else m.state_dict(); "
        f"torch.save({{k: v for k, v in m.items() if torch.is_tensor(v)}}, {str(target)!r})"
    )
    return (
        " If you trust where it is from (this runs what is in it), save its weights alone:\n"
        f"  python -c {shlex.quote(program)}"
    )
