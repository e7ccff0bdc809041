"""Measured latency: kept, shared between runs, and the same after a restart."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
import torch

from collm_nas.cli import session
from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.hardware import engine
from collm_nas.hardware.latency import MeasuredLatency
from collm_nas.hardware.timing import Timing
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.base import Costs, SearchSpace, Variable
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.supernet import build_supernet
from tests.conftest import ROOT, problems_of, search_config
from tests.strategy.toy import Staircase

QUICK = {
    "engine": "torch", "device": "cpu", "cores": 1, "batch": 1,
    "warmup": 0, "repeats": 2, "minimum_ms": 0,
}  # fmt: skip


def small() -> ShuffleNet:
    return ShuffleNet(repeats=[1, 1], channels=[4, 8, 16, 32], num_classes=3, resolution=16)


def model(folder: Path, space: SearchSpace | None = None, **changes: object) -> MeasuredLatency:
    return MeasuredLatency(space or small(), **{**QUICK, "cache": str(folder), **changes})  # type: ignore[arg-type]


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """Replace measuring by counting: the first measurement takes 1 ms, the next one 2."""
    asked: list[str] = []

    def measure(self: MeasuredLatency, arch: object) -> Timing:
        asked.append(str(arch))
        return Timing(float(len(asked)), 0.5, 2)

    monkeypatch.setattr(MeasuredLatency, "_measure", measure)
    return asked


def archs(count: int) -> list:
    rng, space = Random(0), small()
    return list(dict.fromkeys(space.sample(rng) for _ in range(5 * count)))[:count]


def test_a_latency_is_measured_with_the_closed_form_costs(tmp_path):
    (arch,) = archs(1)
    costs = model(tmp_path).costs(arch)
    assert {*costs} == {"macs", "params", "latency_ms"}
    assert 0 < costs["latency_ms"] < 1000


def test_no_architecture_is_measured_twice_whoever_asks(tmp_path, counted):
    a, b = archs(2)
    first = model(tmp_path)
    assert [first.latency_ms(x) for x in (a, b, a)] == [1, 2, 1]
    assert model(tmp_path).latency_ms(a) == 1, "another process, or the same one restarted"
    assert first.latency_ms(b) == 2
    assert len(counted) == 2


def test_what_another_process_measures_meanwhile_is_not_measured_again(tmp_path, counted):
    a, b = archs(2)
    one, other = model(tmp_path), model(tmp_path)
    one.latency_ms(a)
    other.latency_ms(b)
    assert (one.latency_ms(b), other.latency_ms(a)) == (2, 1)
    assert len(counted) == 2


def test_threads_measure_one_at_a_time(tmp_path, counted):
    shared, some = model(tmp_path), archs(6)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.latency_ms, some * 3))
    assert sorted({*found}) == [1, 2, 3, 4, 5, 6]
    assert len(counted) == 6


def test_a_setting_has_a_file_of_its_own_which_says_what_it_holds(tmp_path, counted):
    (arch,) = archs(1)
    for changes in ({}, {"batch": 2}, {"cores": 2}, {"engine": "onnxruntime"}):
        model(tmp_path, **changes).latency_ms(arch)
    files = sorted(tmp_path.glob("shufflenet-*.jsonl"))
    assert len(files) == len(counted) == 4
    what, entry = map(json.loads, files[0].read_text().splitlines())
    assert what["space"] == small().identity
    assert {"machine", "engine", "device", "cores", "batch", "warmup", "repeats"} < {*what}
    assert {*entry} == {"network", "median_ms", "iqr_ms", "samples", "chain"}
    assert Architecture.of(entry["network"]["architecture"]) == arch
    assert entry["network"]["image"] == 16
    assert entry["network"]["costs"] == small().costs(arch)


class Widths(ShuffleNet):
    """Has values of several digits, and no word on its settings in its identity."""

    identity = "widths"

    def __init__(self, resolution: int = 32, channels: int = 8) -> None:
        super().__init__(repeats=[1, 1], channels=[4, channels, 16, 32], resolution=resolution)
        self.variables = (Variable("width", (1, 11), 2),)

    def costs(self, arch: Architecture) -> Costs:
        base = super().costs(Architecture.of({"ops": (0, 0)}))
        return {name: cost + sum(map(int, arch["width"])) for name, cost in base.items()}

    def key(self, arch: Architecture) -> str:
        return "".join(map(str, arch["width"]))  # the same for [1, 11] and [11, 1]


def test_no_network_gets_the_latency_of_another(tmp_path, counted):
    one, other = (Architecture.of({"width": v}) for v in ((1, 11), (11, 1)))
    assert Widths().key(one) == Widths().key(other)
    found = [model(tmp_path, Widths()).latency_ms(arch) for arch in (one, other)]
    found += [model(tmp_path, Widths(resolution=48)).latency_ms(one)]
    found += [model(tmp_path, Widths(channels=12)).latency_ms(one)]
    assert found == [1, 2, 3, 4]
    assert len([*tmp_path.glob("shufflenet-*.jsonl")]) == 1
    assert model(tmp_path, Widths()).latency_ms(other) == 2


def test_a_measurement_of_old_that_names_its_network_by_a_key_is_not_believed(tmp_path, counted):
    (arch,) = archs(1)
    model(tmp_path).latency_ms(arch)
    (path,) = tmp_path.glob("*.jsonl")
    what, entry = map(json.loads, path.read_text().splitlines())
    del what["chain"], entry["chain"], entry["network"]
    path.write_text(f"{json.dumps(what)}\n{json.dumps({'key': small().key(arch), **entry})}\n")
    assert model(tmp_path).latency_ms(arch) == 2
    assert model(tmp_path).latency_ms(arch) == 2


def test_a_torn_line_is_measured_again(tmp_path, counted):
    a, b = archs(2)
    model(tmp_path).latency_ms(a)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes() + b'{"key": "00')
    fresh = model(tmp_path)
    assert [fresh.latency_ms(x) for x in (a, b)] == [1, 2]
    assert [json.loads(line).get("median_ms") for line in path.read_text().splitlines()][1:] == [
        1,
        2,
    ]


@pytest.mark.parametrize("name", ["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "space",
    [
        small(),
        MobileNet(
            1.0, [16], 3, base_widths=[8, 8, 8, 16, 32], choices={"d": [1], "ks": [3], "e": [2]}
        ),
        pytest.param(NASBench201(), marks=pytest.mark.slow),
        pytest.param(
            AutoFormer(
                {"depth": [1], "embed_dim": [16], "mlp_ratio": [2.0], "num_heads": [1]},
                resolution=16, patch_size=4, num_classes=3,
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda space: space.name,
)  # fmt: skip
def test_what_is_measured_computes_what_the_subnet_does(name, space):
    supernet, arch = build_supernet(space).eval(), space.sample(Random(0))
    images = torch.randn(2, 3, *[space.resolution(arch)] * 2)
    deployed = engine.deployed(supernet, arch)
    if name == "torch":
        found = engine.torch_call(deployed, images, "cpu")()
    else:
        (logits,) = engine.onnxruntime_call(deployed, images, 1)()
        found = torch.from_numpy(logits)
    torch.testing.assert_close(found, supernet(images, arch), rtol=1e-3, atol=1e-4)


def test_torch_threads_are_given_back():
    before = torch.get_num_threads()
    with engine.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"engine": "tflite"}, "engine must be 'torch' or 'onnxruntime', got 'tflite'"),
        ({"device": "tpu"}, "device must be cpu, cuda or cuda:N, got 'tpu'"),
        ({"device": 0}, "device must be text, got 0"),
        ({"cores": 0}, "cores must be at least 1, got 0"),
        ({"cores": 1, "warmup": -1}, "warmup must be at least 0, got -1"),
        ({"repeats": 1}, "repeats must be at least 2, got 1"),
        ({"minimum_ms": float("nan")}, "minimum_ms must be"),
    ],
)
def test_settings_that_measure_nothing(settings, told):
    assert told in problems_of(MeasuredLatency, **settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "onnxruntime", "device": "cuda"}, r"onnxruntime measures on .*cpu only"),
        ({"repeats": 1}, "MeasuredLatency: repeats must be at least 2, got 1"),
        ({"space": Staircase()}, "staircase has no networks to measure"),
    ],
)
def test_a_wrong_setting_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        model(tmp_path, **changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="device=cuda: this machine has no CUDA device"):
        model(tmp_path, device="cuda").latency_ms(archs(1)[0])


def test_building_it_imports_no_torch(tmp_path):
    program = (
        "import sys; from collm_nas.hardware.latency import MeasuredLatency;"
        "from collm_nas.spaces.shufflenet.space import ShuffleNet;"
        "MeasuredLatency(ShuffleNet(), 'torch', 'cpu', 1, 1, 0, 2, 0);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT / "src", check=True, timeout=60)


def test_a_search_with_a_latency_limit_is_the_same_after_a_stop(tmp_path, monkeypatch):
    """No two measurements agree, so measuring anew would show in the archive."""
    asked: list[object] = []

    def noisy(self: MeasuredLatency, arch: object) -> Timing:
        asked.append(arch)
        return Timing(1 + sum(map(ord, str(arch))) % 5 + len(asked) / 1e6, 0.1, 2)

    monkeypatch.setattr(MeasuredLatency, "_measure", noisy)
    settings = ["hardware=latency", "+limits.latency_ms=4", f"hardware.cache={tmp_path}/cache"]
    for run, budgets in (("whole", [12]), ("parts", [4, 12])):
        for budget in budgets:
            config = search_config(*settings, f"budget.evaluations={budget}", strategy="random")
            session.run(config, tmp_path / run)
    whole, parts = (
        {str(r.arch): r.metrics for r in Archive.open(path, "val_accuracy").evaluated()}
        for path in (tmp_path / run / "archive.jsonl" for run in ("whole", "parts"))
    )
    assert len({*whole} & {*parts}) >= 4
    assert all(whole[arch] == parts[arch] for arch in {*whole} & {*parts})
    assert all(metrics["latency_ms"] <= 4 for metrics in parts.values())
    assert len(asked) == len({*asked})
