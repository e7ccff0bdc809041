"""What runs a network when its latency is measured: PyTorch or ONNX Runtime."""

from __future__ import annotations

import io
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from collm_nas.core.architecture import Architecture
from collm_nas.evaluator.batchnorm import fold_batch_norms
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.supernet import Supernet, build_supernet

Call = Callable[[], object]


def fresh_supernet(space: SearchSpace) -> Supernet:
    """Build the supernet of `space` with weights of its own: a latency does not depend on them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_supernet(space).eval()


def deployed(supernet: Supernet, arch: Architecture) -> nn.Module:
    """Extract `arch` as it is deployed: in evaluation mode, its batch norms folded."""
    subnet = supernet.extract(arch).eval()
    fold_batch_norms(subnet)
    return subnet


def torch_call(module: nn.Module, inputs: Tensor, device: str) -> Call:
    """Return a call that runs `module` on `inputs` and waits until it is done."""
    module, inputs = module.to(device), inputs.to(device)

    @torch.inference_mode()
    def call() -> object:
        output = module(inputs)
        if inputs.is_cuda:
            torch.cuda.synchronize(inputs.device)
        return output

    return call


def onnxruntime_call(module: nn.Module, inputs: Tensor, cores: int) -> Call:
    """Return a call that runs `module`, exported to ONNX, in ONNX Runtime on the CPU."""
    import onnxruntime

    program = torch.onnx.export(module, (inputs,), dynamo=True, verbose=False)
    assert program is not None
    buffer = io.BytesIO(program.model_proto.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        buffer.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: inputs.numpy()}
    return lambda: session.run(None, feed)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(device: str, engine: str) -> str:
    """Name the hardware and the software that a latency depends on.

    Raises:
        ValueError: this machine has no such device.
    """
    if torch.device(device).type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"hardware.device={device}: this machine has no CUDA device")
        name = torch.cuda.get_device_name(device)
    else:  # the system's own list is more precise than Python
        listed = Path("/proc/cpuinfo")
        lines = listed.read_text().splitlines() if listed.exists() else []
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(names, platform.processor() or platform.machine())
    return f"{name}, {engine} {import_module(engine).__version__}"
