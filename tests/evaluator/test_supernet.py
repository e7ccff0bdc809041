"""Equal architectures get equal numbers; a number says how it was measured."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture
from collm_nas.core.problem import EvaluationFailed, Metrics
from collm_nas.data.digits import Digits
from collm_nas.data.pixels import pixel_format
from collm_nas.evaluator.inherit import calibrated_subnet, measure
from collm_nas.evaluator.pool import Worker
from collm_nas.evaluator.supernet import CannotEvaluate, SupernetEvaluator
from collm_nas.spaces.checkpoint import load_supernet, save_supernet
from collm_nas.spaces.supernet import build_supernet
from tests.conftest import load
from tests.evaluator.conftest import SPACES, space_of

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")
SHORT = {"bn_images": 200, "bn_batch": 100, "images": 100}


def evaluator(name: str, path: Path, **settings: Any) -> SupernetEvaluator:
    usual = {"protocol": "clean", "changes": SHORT, "device": "cpu", "workers": 1, "data": Digits}
    return SupernetEvaluator(space_of(name), str(path), **{**usual, **settings})


def some(name: str, count: int) -> list[Architecture]:
    space, rng = space_of(name), random.Random(1)
    return [space.sample(rng) for _ in range(count)]


@pytest.mark.parametrize("name", SPACES)
def test_the_number_is_that_of_the_subnet(name: str, weights: dict[str, Path]) -> None:
    measuring = evaluator(name, weights[name])
    for arch in some(name, 2):
        found = measuring.evaluate(arch)
        images, space = measuring.measurement.images, space_of(name)
        size, pixels = space.resolution(arch), pixel_format(measuring.measurement.weights.pixels)
        supernet = load_supernet(weights[name], space).eval()
        subnet = calibrated_subnet(supernet, arch, size, images)
        expected = measure(subnet, images.ranking(size), pixels)
        assert found == {"val_accuracy": expected.top1, "val_top5": expected.top5}
        assert expected.images == 100


def test_order_and_workers_change_nothing(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, archs = weights["mobilenet_tiny"], some("mobilenet_tiny", 4)
    found = []
    for workers, order in ((1, archs), (3, archs[::-1])):
        monkeypatch.setenv("COLLM_CACHE", str(tmp_path / str(workers)))  # nothing is looked up
        measuring = evaluator("mobilenet_tiny", path, workers=workers)
        with ThreadPoolExecutor(workers) as pool:
            found.append(dict(zip(order, pool.map(measuring.evaluate, order), strict=True)))
    assert found[0] == found[1]
    assert len({str(metrics) for metrics in found[0].values()}) > 1


def test_what_was_measured_once_is_looked_up(weights: dict[str, Path], tmp_path: Path) -> None:
    path, (arch,) = weights["shufflenet_tiny"], some("shufflenet_tiny", 1)
    first = evaluator("shufflenet_tiny", path).evaluate(arch)
    copied = shutil.copy(path, tmp_path / "elsewhere.safetensors")
    other = evaluator("shufflenet_tiny", copied)
    other.measurement = None  # type: ignore[assignment]
    assert other.evaluate(arch) == first


def test_another_way_to_measure_has_another_name(weights: dict[str, Path], tmp_path: Path) -> None:
    name = "shufflenet_tiny"
    changed = tmp_path / "changed.safetensors"
    space = space_of(name)
    torch.manual_seed(1)
    save_supernet(changed, build_supernet(space), space)
    names = [
        evaluator(name, path, changes=changes).protocol
        for path in (weights[name], changed)
        for changes in (SHORT, {})
    ]
    assert len(set(names)) == 4
    assert names[0].startswith("clean,bn_images=200,bn_batch=100,images=100:")
    assert names[1].startswith("clean,bn_images=1000:"), "2,000 were asked for"


def test_a_protocol_that_ranks_on_test_says_so(weights: dict[str, Path]) -> None:
    measuring = evaluator("autoformer_tiny32", weights["autoformer_tiny32"], protocol="collm")
    assert measuring.objective == "test_accuracy"
    (arch,) = some("autoformer_tiny32", 1)
    assert set(measuring.evaluate(arch)) == {"test_accuracy", "test_top5"}


def test_the_format_of_the_pixels_is_that_of_the_weights(tmp_path: Path) -> None:
    space = space_of("shufflenet_tiny")
    for name, info in (("theirs", {}), ("ours", {"pixels": "cifar10"})):
        save_supernet(tmp_path / name, build_supernet(space), space, info)
        measuring = evaluator("shufflenet_tiny", tmp_path / name)
        assert (
            measuring.measurement.weights.pixels == {"theirs": "bgr_0_255", "ours": "cifar10"}[name]
        )


def dying(times: int, folder: Path) -> Callable[[Architecture], Metrics]:
    """Return an evaluation during which the process dies, the first few times."""

    def answer(arch: Architecture) -> Metrics:
        deaths = len(list(folder.iterdir()))
        if deaths < times:
            (folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"val_accuracy": 12.0}

    return answer


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_candidate_whose_process_dies_has_a_second_chance(
    deaths: int, weights: dict[str, Path], tmp_path: Path
) -> None:
    (arch,), folder = some("autoformer_tiny32", 1), tmp_path / "deaths"
    folder.mkdir()
    measuring = evaluator("autoformer_tiny32", weights["autoformer_tiny32"])
    measuring._free.get()
    measuring._free.put(Worker(partial(dying, deaths, folder)))
    if deaths == 2:
        with pytest.raises(EvaluationFailed, match=r"its process died 2 times: .*SIGKILL.*memory"):
            measuring.evaluate(arch)
        assert not list((tmp_path / "cache" / "evaluations").rglob("*.jsonl"))
    assert measuring.evaluate(arch) == {"val_accuracy": 12.0}


def no_data() -> Digits:
    raise ValueError("/data/imagenet does not exist")


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CannotEvaluate) as refused:
        evaluator("shufflenet_tiny", tmp_path / "none.safetensors", data=no_data)
    told = str(refused.value)
    assert "none.safetensors does not exist" in told
    assert "python train_supernet.py" in told
    assert "/data/imagenet does not exist" in told


def test_weights_of_another_space_are_refused(weights: dict[str, Path]) -> None:
    with pytest.raises(CannotEvaluate, match="holds the supernet of another space"):
        evaluator("shufflenet_tiny", weights["mobilenet_tiny"])


def test_images_of_other_classes_are_refused(tmp_path: Path) -> None:
    space, path = build(load("search", "searchspace=shufflenet_tiny").searchspace), tmp_path / "w"
    space.num_classes = 7
    save_supernet(path, build_supernet(space), space)
    with pytest.raises(CannotEvaluate, match="has 10 classes, the supernet 7"):
        SupernetEvaluator(space, str(path), Digits, "clean", SHORT, "cpu", 1)
    space = space_of("shufflenet_tiny")
    classes = json.dumps([*"012345678", "nine"])
    save_supernet(path, build_supernet(space), space, {"classes": classes})
    with pytest.raises(CannotEvaluate, match="nine where the data set has 9"):
        evaluator("shufflenet_tiny", path)


def test_batch_norms_must_be_calibrated(weights: dict[str, Path]) -> None:
    evaluator("autoformer_tiny32", weights["autoformer_tiny32"], protocol="autoformer")
    with pytest.raises(CannotEvaluate, match=r"autoformer,.* calibrates no batch norms"):
        evaluator("shufflenet_tiny", weights["shufflenet_tiny"], protocol="autoformer")


def test_weights_that_compute_nonsense_fail(tmp_path: Path) -> None:
    space, path = space_of("autoformer_tiny32"), tmp_path / "w"
    supernet = build_supernet(space)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.fill_(float("nan"))
    save_supernet(path, supernet, space)
    with pytest.raises(EvaluationFailed, match="not finite"):
        evaluator("autoformer_tiny32", path).evaluate(some("autoformer_tiny32", 1)[0])
