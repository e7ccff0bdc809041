"""Accuracy predictors in files: those of once-for-all networks, and our own.

A predictor is a small ReLU network, or the mean of several, on one-hot genes. It is recognised by
the names of its arrays, and every array must be there in its shape. Three kinds are read:

- `acc_predictor.pth` of the OFA tutorial (Cai et al., 2020, https://arxiv.org/abs/1908.09791):
  columns ks, e, r; a fraction, with no base accuracy to add;
- what `ofa.nas.accuracy_predictor` saves, for four resolutions: columns r, ks, e; a fraction, to
  which the stored `base_acc` is added; a torch file or an `.npz`, with dots or underscores;
- ours, safetensors written by `save`: the arrays and, as metadata, what they mean. Version 0.1.0
  wrote an `.npz` where that is an array among the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as in_safetensors

from collm_nas.core.architecture import Architecture, Value
from collm_nas.core.files import write_atomically
from collm_nas.spaces.base import Variable
from collm_nas.spaces.encoding import one_hot

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]
Network = tuple[tuple[Array, Array], ...]  # of each layer: weights (outputs, inputs), biases
Names = Sequence[tuple[str, str]]  # of each layer: of its weights and of its biases

URL = "https://raw.githubusercontent.com/han-cai/files/master/ofa/acc_predictor.pth"
FORMAT = "collm-nas predictor 1"
INFO = "collm_nas"  # the entry of metadata that says what a file of ours means, as JSON
OFA_SPACE = "mobilenet-w1.0-c1000"
KERNELS, EXPANSIONS = Variable("ks", (3, 5, 7), 20), Variable("e", (3, 4, 6), 20)
HIDDEN = (400, 400, 400)  # of both kinds of OFA
SHOWN = 4  # array names in a message


class WrongPredictor(ValueError):
    """A file that does not hold a predictor; the message says what differs."""


@dataclass(frozen=True)
class Meaning:
    """What the inputs and the output of a predictor stand for.

    Args:
        space: the identity of the search space whose subnets it knows.
        columns: the variables that it sees, in order: one input per gene and option.
        trained: of each variable, the options that were in the training data; it had all options
            of a variable that is missing here.
        percent: how many percent an output of 1 is.
        base: percent that are added.
    """

    space: str
    columns: tuple[Variable, ...]
    trained: Mapping[str, tuple[Value, ...]]
    percent: float = 100.0
    base: float = 0.0

    @property
    def inputs(self) -> int:
        """Count the inputs."""
        return sum(v.count * len(v.options) for v in self.columns)


# Its outputs below 160 pixels are far off, and in the wrong order to those above.
TUTORIAL = Meaning(
    OFA_SPACE,
    (KERNELS, EXPANSIONS, Variable("r", tuple(range(112, 225, 16)))),
    trained={"r": tuple(range(160, 225, 16))},
)
# The published one was trained on subnets of three resolutions, although it has columns for four.
PACKAGE = Meaning(
    OFA_SPACE,
    (Variable("r", (128, 160, 192, 224)), KERNELS, EXPANSIONS),
    trained={"r": (128, 160, 192)},
)


@dataclass(frozen=True)
class Predictor:
    """Networks whose mean output is the accuracy of an architecture."""

    meaning: Meaning
    networks: tuple[Network, ...]
    report: Mapping[str, Any] = field(default_factory=dict)  # how it was trained, how good it is

    def predict(self, archs: Sequence[Architecture]) -> Array:
        """Return the predicted accuracies in percent."""
        inputs = one_hot(self.meaning.columns, archs)
        outputs = np.mean([_forward(network, inputs) for network in self.networks], axis=0)
        predicted: Array = self.meaning.base + self.meaning.percent * outputs
        return predicted


def read(path: Path) -> Predictor:
    """Read a predictor of any kind.

    Raises:
        WrongPredictor: there is none in `path`; the message says what is wrong.
    """
    if not path.is_file():
        raise WrongPredictor(f"{path} does not exist (config key: evaluator.file). OFA's is {URL}")
    if path.suffix == ".safetensors":
        return _ours(path, *_read_safetensors(path))
    arrays = _read_npz(path) if path.suffix == ".npz" else _read_torch(path)
    if text := arrays.pop("meaning", None):
        return _ours(path, arrays, str(text))
    arrays = {name.replace("_", "."): array for name, array in arrays.items()}
    layers = range(len(HIDDEN))
    if "0.weight" in arrays:
        names = [(f"{2 * i}.weight", f"{2 * i}.bias") for i in (*layers, len(HIDDEN))]
        return _of_ofa(path, arrays, TUTORIAL, names)
    if "base.acc" in arrays:
        names = [(f"layers.{i}.0.weight", f"layers.{i}.0.bias") for i in layers]
        names.append((f"layers.{len(HIDDEN)}.weight", "base.acc"))  # instead of a bias
        return _of_ofa(path, arrays, PACKAGE, names)
    raise WrongPredictor(
        f"{path} is no accuracy predictor of a known kind; it holds {_first(arrays)}. Known are "
        "acc_predictor.pth of the OFA tutorial, what ofa.nas saves, and what "
        "collm_nas.evaluator.predictor.train writes"
    )


def save(path: Path, predictor: Predictor) -> None:
    """Write `predictor` as safetensors, all or nothing."""
    sizes = [[n[0][0].shape[1], *(len(bias) for _, bias in n)] for n in predictor.networks]
    text = {
        "format": FORMAT,
        "meaning": asdict(predictor.meaning),
        "sizes": sizes,
        "report": dict(predictor.report),
    }
    arrays = {
        name: np.ascontiguousarray(array)
        for n, network in enumerate(predictor.networks)
        for names, layer in zip(_our_names(n, len(network)), network, strict=True)
        for name, array in zip(names, layer, strict=True)
    }
    write_atomically(path, in_safetensors(arrays, {INFO: json.dumps(text)}))


def _forward(network: Network, inputs: Array) -> Array:
    *hidden, (last, last_bias) = network
    values = inputs
    for weights, biases in hidden:
        values = np.maximum(values @ weights.T + biases, 0)
    outputs: Array = (values @ last.T + last_bias)[:, 0]
    return outputs


# -- the kinds ----------------------------------------------------------------------------------


def _of_ofa(path: Path, arrays: Arrays, meaning: Meaning, names: Names) -> Predictor:
    shapes = dict(_shapes(names, (meaning.inputs, *HIDDEN, 1)))
    return Predictor(meaning, (_network(_checked(path, arrays, shapes), names),))


def _ours(path: Path, arrays: Arrays, description: str) -> Predictor:
    try:
        text = json.loads(description)
        if text["format"] != FORMAT:
            raise ValueError(f"its format is {text['format']!r}, expected {FORMAT!r}")
        meaning = _read_meaning(text["meaning"])
        sizes, report = [list(map(int, network)) for network in text["sizes"]], text["report"]
        if {(network[0], network[-1]) for network in sizes} != {(meaning.inputs, 1)}:
            raise ValueError(f"its networks do not lead from {meaning.inputs} inputs to 1 output")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WrongPredictor(f"{path} does not describe a predictor: {error}") from error
    names = [_our_names(n, len(network) - 1) for n, network in enumerate(sizes)]
    pairs = zip(names, sizes, strict=True)
    shapes = {name: shape for of, size in pairs for name, shape in _shapes(of, size)}
    checked = _checked(path, arrays, shapes)
    return Predictor(meaning, tuple(_network(checked, of) for of in names), report)


def _read_meaning(text: Mapping[str, Any]) -> Meaning:
    columns = [Variable(c["name"], tuple(c["options"]), int(c["count"])) for c in text["columns"]]
    trained = {name: tuple(options) for name, options in text["trained"].items()}
    percent, base = float(text["percent"]), float(text["base"])
    return Meaning(str(text["space"]), tuple(columns), trained, percent, base)


def _our_names(network: int, layers: int) -> Names:
    return [(f"{network}.{i}.weight", f"{network}.{i}.bias") for i in range(layers)]


# -- arrays of a file ---------------------------------------------------------------------------


def _read_safetensors(path: Path) -> tuple[Arrays, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, (file.metadata() or {}).get(INFO, "null")
    except (OSError, SafetensorError) as error:
        raise WrongPredictor(f"{path} cannot be read as safetensors: {error}") from error


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile, TypeError, AttributeError) as error:
        raise WrongPredictor(f"{path} cannot be read as .npz of plain arrays: {error}") from error


def _read_torch(path: Path) -> dict[str, NDArray[Any]]:
    import torch  # here: other files need none

    from collm_nas.spaces.checkpoint import UNREADABLE

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise WrongPredictor(f"{path} cannot be read as a torch file of weights alone") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise WrongPredictor(f"{path} holds a {type(content).__name__}, expected a state dict")
    tensors = {str(n): t for n, t in content.items() if isinstance(t, torch.Tensor)}
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def _shapes(names: Names, sizes: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Pair the names of a network's arrays with their shapes; `sizes`: inputs, then layers."""
    for (weights, biases), (inputs, outputs) in zip(names, pairwise(sizes), strict=True):
        yield weights, (outputs, inputs)
        yield biases, (outputs,)


def _checked(path: Path, arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the arrays; there must be those of `shapes` and no others, of finite numbers."""
    known = {name: array for name, array in arrays.items() if name in shapes}
    differences = {
        "missing": [name for name in shapes if name not in arrays],
        "not expected": [name for name in arrays if name not in shapes],
        "other shapes": [
            f"{name}: {array.shape} in the file, expected {shapes[name]}"
            for name, array in known.items()
            if array.shape != shapes[name]
        ],
        "not finite numbers": [
            name
            for name, array in known.items()
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all()
        ],
    }
    lines = [f"  {kind}: {_first(names)}" for kind, names in differences.items() if names]
    if lines:
        raise WrongPredictor("\n".join([f"{path} is not the predictor that it seems:", *lines]))
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _network(arrays: Arrays, names: Names) -> Network:
    return tuple((arrays[weights], arrays[biases]) for weights, biases in names)


def _first(names: Sequence[str] | Mapping[str, object]) -> str:
    shown, more = list(names)[:SHOWN], len(names) - SHOWN
    return ("; ".join(shown) or "nothing") + (f"; and {more} more" if more > 0 else "")
