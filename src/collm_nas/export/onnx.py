"""A subnet for every runtime that reads ONNX: input `images` (N, 3, H, W), output `logits`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from collm_nas.core.files import replacing
from collm_nas.export.check import largest_difference

OPSET = 18


def save_onnx(
    path: Path, program: ExportedProgram, subnet: nn.Module, batches: Sequence[Tensor]
) -> float:
    """Write `program`, check the file by onnx and compare what ONNX Runtime computes with it.

    Returns the largest relative difference.

    Raises:
        ExportMismatch: it computes something else than `subnet`.
    """
    with replacing(path) as partial:
        torch.onnx.export(
            program,
            f=partial,
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            external_data=False,  # the weights are inside
            verbose=False,
        )
        _name_batch(partial)
        onnx.checker.check_model(partial, full_check=True)
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])

        def run(x_NCHW: Tensor) -> Tensor:
            (logits,) = session.run(["logits"], {"images": x_NCHW.numpy()})
            return torch.from_numpy(logits)

        return largest_difference(subnet, run, batches, path.name)


def _name_batch(path: Path) -> None:
    """Call the number of images `batch` in the file, in place of a made-up symbol."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # shapes of everything between, in terms of that symbol
    onnx.save(model, path)
