"""The latency of a subnet, measured on this machine, next to the closed-form costs.

A search asks for the same latency many times, and must get the same answer after a restart: every
measurement is kept in a file, which is read before anything is measured. All runs on a machine
share it, so that strategies are compared on the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le
from filelock import FileLock
from pydantic import AfterValidator

from collm_nas.core.architecture import Architecture
from collm_nas.core.arguments import checked
from collm_nas.core.cache import cache_dir
from collm_nas.core.files import Journal
from collm_nas.core.problem import Metrics
from collm_nas.core.ranges import Text, Workers
from collm_nas.hardware.timing import MinimumMs, Repeats, Repetitions, Timing, Warmup, time_calls
from collm_nas.spaces.base import SearchSpace

if TYPE_CHECKING:
    from collm_nas.spaces.supernet import Supernet

Engine = Literal["torch", "onnxruntime"]


def _device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"must be cpu, cuda or cuda:N, got {name!r}")
    return name


Device = Annotated[str, AfterValidator(_device)]


@dataclass(frozen=True)
class Setting:
    """What a latency depends on besides the architecture and the machine.

    Args:
        engine: torch or onnxruntime; the latter runs on the CPU.
        device: cpu, cuda or cuda:N.
        cores: threads that compute, on the CPU.
        batch: images at a time; the latency is that of the whole batch.

    Raises:
        ValueError: the engine does not run on the device.
    """

    engine: Engine
    device: str
    cores: int
    batch: int

    def __post_init__(self) -> None:
        if self.engine == "onnxruntime" and self.device != "cpu":
            raise ValueError("hardware.engine=onnxruntime measures on hardware.device=cpu only")


@checked
class MeasuredLatency:
    """Adds `latency_ms`, the median over samples, to the closed-form costs.

    The network is the subnet as it is deployed: cut out of an untrained supernet, in evaluation
    mode, batch norms folded into convolutions. Nothing is imported or measured before it is asked.

    Args:
        space: must have a supernet.
        engine, device, cores, batch: see `Setting`.
        warmup, repeats, minimum_ms: see `Repetitions`.
        cache: the folder of the files of measurements; `None`: in our cache.

    Raises:
        ValueError: a value is wrong, or the space has no supernet.
    """

    def __init__(
        self,
        space: SearchSpace,
        engine: Engine,
        device: Device,
        cores: Workers,
        batch: Annotated[int, Ge(1), Le(4096)],
        warmup: Warmup,
        repeats: Repeats,
        minimum_ms: MinimumMs,
        cache: Text | None = None,
    ) -> None:
        if not space.supernet:
            raise ValueError(f"the search space {space.name} has no networks to measure")
        self.space = space
        self.setting = Setting(engine, device, cores, batch)
        self.repetitions = Repetitions(warmup, repeats, minimum_ms)
        self.folder = Path(cache).expanduser() if cache else cache_dir() / "latency"
        self.lock = threading.Lock()
        self.measured: _Measured | None = None
        self.supernet: Supernet | None = None

    def costs(self, arch: Architecture) -> Metrics:
        return {**self.space.costs(arch), "latency_ms": self.latency_ms(arch)}

    def latency_ms(self, arch: Architecture) -> float:
        """Look the latency of `arch` up, or measure it; one measurement at a time on a machine."""
        with self.lock:
            self.measured = self.measured or self._open()
            network = self._network(arch)
            if network not in self.measured.known:
                with FileLock(self.folder / "measuring.lock"):
                    self.measured.read()  # another process may have measured it
                    if network not in self.measured.known:
                        self.measured.add(network, self._measure(arch))
            return self.measured.known[network]

    def _network(self, arch: Architecture) -> str:
        """Describe what is measured, as JSON.

        The identity of the space says what weights depend on. A latency depends on more, such as
        the size of the images, and that shows in the costs.
        """
        side, costs = self.space.resolution(arch), self.space.costs(arch)
        return _json({"architecture": arch.to_json(), "image": side, "costs": costs})

    def _open(self) -> _Measured:
        from collm_nas.hardware.engine import describe

        machine = describe(self.setting.device, self.setting.engine)
        what = {
            "machine": machine,
            "space": self.space.identity,
            **asdict(self.setting),
            **asdict(self.repetitions),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(_json(what).encode()).hexdigest()[:12]
        return _Measured(self.folder / f"{self.space.name}-{digest}.jsonl", what)

    def _measure(self, arch: Architecture) -> Timing:
        import torch

        from collm_nas.hardware import engine

        self.supernet = self.supernet or engine.fresh_supernet(self.space)
        subnet, side = engine.deployed(self.supernet, arch), self.space.resolution(arch)
        images = torch.zeros(self.setting.batch, 3, side, side)
        with engine.threads(self.setting.cores):
            if self.setting.engine == "torch":
                call = engine.torch_call(subnet, images, self.setting.device)
            else:
                call = engine.onnxruntime_call(subnet, images, self.setting.cores)
            return time_calls([call], self.repetitions)[0]


class _Measured:
    """A file of measurements: the first line says how, each other one of which network."""

    def __init__(self, path: Path, what: dict[str, object]) -> None:
        self.path = path
        self.what = what
        self.known: dict[str, float] = {}
        self.read()

    def read(self) -> Journal[dict[str, Any]]:
        """Learn what the file holds, but for lines of old that name a network by its key.

        Such a key did not say for which size of images, and may be that of two architectures.
        """
        journal: Journal[dict[str, Any]] = Journal(self.path, dict[str, Any], of_run=False)
        for index, line in enumerate(journal.entries[1:], start=1):
            median = line.get("median_ms")
            if not ("network" in line and isinstance(median, float | int)) and "key" not in line:
                journal.refuse(index, "it is no measurement")
            if "network" in line:
                self.known[_json(line["network"])] = float(line["median_ms"])
        return journal

    def add(self, network: str, timing: Timing) -> None:
        """Keep a measurement; the caller holds the lock of the folder."""
        journal = self.read()
        if not journal.entries:
            journal.append(self.what)
        journal.append({"network": json.loads(network), **asdict(timing)})
        self.known[network] = timing.median_ms


def _json(content: object) -> str:
    return json.dumps(content, sort_keys=True)
