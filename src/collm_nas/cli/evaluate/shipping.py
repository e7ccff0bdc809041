"""`mode=export`: the architecture with its weights in files that are ready to use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from collm_nas.cli.evaluate.candidates import Candidate
from collm_nas.cli.evaluate.subnet_evaluator import SubnetEvaluator
from collm_nas.cli.evaluate.target import Target
from collm_nas.core.printable import say
from collm_nas.evaluator.protocol import METRICS
from collm_nas.export.onnx import OPSET, save_onnx
from collm_nas.export.package import CONFIG, WEIGHTS, Preprocessing, save_subnet
from collm_nas.export.program import save_program, trace
from collm_nas.report.evaluations import keep
from collm_nas.report.uncertainty import written

ONNX, PROGRAM = "model.onnx", "model.pt2"
CHECKED = (1, 8)  # images in a batch


def export(target: Target, weights: Candidate, node: DictConfig) -> Path:
    """Write and check all files; return their folder, `export/` in the target's directory.

    Args:
        node: the config of the search space.

    Raises:
        ExportMismatch: a file would compute something else than the subnet.
    """
    evaluator, folder = weights.evaluator, target.directory / "export"
    subnet = evaluator.subnet(target.arch).cpu().eval()
    batches = check_batches(target, evaluator)
    program = trace(subnet, target.space.resolution(target.arch))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)  # written last: without it nothing has shipped
    differences = {
        PROGRAM: save_program(folder / PROGRAM, program, subnet, batches),
        ONNX: save_onnx(folder / ONNX, program, subnet, batches),
    }
    info = {"weights": weights.label, **describe(target, evaluator, differences)}
    space = OmegaConf.to_container(node, resolve=True)
    assert isinstance(space, dict)
    view = evaluator.view(target.arch)
    preprocessing = Preprocessing.of(view, evaluator.pixels)
    named = {str(key): value for key, value in space.items()}
    save_subnet(folder, subnet, named, info["architecture"], preprocessing, info)
    keep(target.directory, {"mode": "export", **info})
    print_files(folder, differences)
    print_accuracy(weights.label, evaluator, info["metrics"])
    return folder


def print_accuracy(label: str, evaluator: SubnetEvaluator, metrics: Mapping[str, float]) -> None:
    """Print what ships with which accuracies."""
    accuracies = ", ".join(
        f"{split} {written(metrics[f'{METRICS[split]}_accuracy'], evaluator.counted(split))}%"
        for split in evaluator.splits
    )
    held_out = "" if evaluator.held_out else "; CAUTION: test is not held out"
    protocol = evaluator.measurement.name
    print(f"shipped with {label} weights: {accuracies}{held_out}; protocol {protocol}")


def check_batches(target: Target, evaluator: SubnetEvaluator) -> list[Tensor]:
    """Return preprocessed batches to compare by: noise, and images that candidates ranked by."""
    size = target.space.resolution(target.arch)
    generator = torch.Generator().manual_seed(0)
    most = max(CHECKED)
    noise = torch.randint(0, 256, (most, 3, size, size), generator=generator).byte()
    images = evaluator.measurement.images.ranking(size)
    real, _ = next(images.batches(most, evaluator.pixels, torch.device("cpu")))
    both = (evaluator.pixels.apply(noise), real.contiguous())
    return [x_NCHW[:count] for x_NCHW in both for count in CHECKED]


def describe(
    target: Target, evaluator: SubnetEvaluator, differences: Mapping[str, float]
) -> dict[str, Any]:
    """Collect what the JSON says besides the space, the architecture and the input."""
    arch = target.arch
    return {
        "architecture": target.space.encode(arch),
        "classes": list(evaluator.data.classes),
        "metrics": {
            **evaluator.accuracy(arch, "test"),
            **evaluator.accuracy(arch, evaluator.validation),
        },
        "test_is_held_out": evaluator.held_out,
        "costs": target.space.costs(arch),
        **evaluator.describe(),
        "onnx": {"file": ONNX, "opset": OPSET, "input": "images", "output": "logits"},
        "largest_relative_difference": dict(differences),
    }


def print_files(folder: Path, differences: Mapping[str, float]) -> None:
    """Print what each file is for."""
    for name, use in (
        (WEIGHTS, "weights; collm_nas.load_subnet(folder) reads them"),
        (CONFIG, "classes, preprocessing, accuracies and their protocol"),
        (ONNX, f"for ONNX Runtime and others (opset {OPSET})"),
        (PROGRAM, "for torch.export.load"),
    ):
        checked = f"; differs by {differences[name]:.1e} at most" if name in differences else ""
        say(f"{folder / name}: {use}{checked}")
