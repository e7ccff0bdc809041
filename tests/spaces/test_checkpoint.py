from __future__ import annotations

import argparse
import io
import pickle
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from collm_nas.config.run import build
from collm_nas.spaces.checkpoint import (
    WrongCheckpoint,
    load_supernet,
    official_weights,
    rename,
    save_supernet,
    supernet_info,
)
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet, official_names
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.supernet import build_supernet
from tests.conftest import load
from tests.ofa_goldens import TINY, golden, largest, randomise

torch.set_num_threads(1)
SPACE = MobileNet(**TINY)


@pytest.fixture
def supernet() -> OFASupernet:
    supernet = OFASupernet(SPACE)
    randomise(supernet, seed=0)
    return supernet


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


# -- our own files --------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(tmp_path: Path, supernet: OFASupernet) -> None:
    save_supernet(tmp_path / "supernet.safetensors", supernet, SPACE)
    loaded = load_supernet(tmp_path / "supernet.safetensors", SPACE)
    assert_equal(loaded.state_dict(), supernet.state_dict())
    assert [p.name for p in tmp_path.iterdir()] == ["supernet.safetensors"]


def test_the_sides_of_images_do_not_matter(tmp_path: Path, supernet: OFASupernet) -> None:
    save_supernet(tmp_path / "supernet.safetensors", supernet, SPACE)
    other = MobileNet(**{**TINY, "resolutions": [32]})
    assert other.resolutions != SPACE.resolutions
    load_supernet(tmp_path / "supernet.safetensors", other)


def test_another_space_is_refused_and_both_are_shown(tmp_path: Path, supernet: OFASupernet) -> None:
    save_supernet(tmp_path / "supernet.safetensors", supernet, SPACE)
    other = MobileNet(**{**TINY, "num_classes": 100})
    with pytest.raises(WrongCheckpoint) as error:
        load_supernet(tmp_path / "supernet.safetensors", other)
    assert SPACE.identity in str(error.value)
    assert other.identity in str(error.value)
    assert "searchspace" in str(error.value)


def test_a_failed_save_leaves_the_file_that_was_there(
    tmp_path: Path, supernet: OFASupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "supernet.safetensors"
    save_supernet(path, supernet, SPACE)
    before = path.read_bytes()

    def full_disk(path: Path, content: bytes) -> None:
        path.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_supernet(path, supernet, SPACE)
    assert path.read_bytes() == before


def test_a_file_tells_what_it_is(tmp_path: Path, supernet: OFASupernet) -> None:
    path = tmp_path / "supernet.safetensors"
    save_supernet(path, supernet, SPACE, {"pixels": "imagenet", "step": "7"})
    info = supernet_info(path)
    assert (info["space"], info["pixels"], info["step"]) == (SPACE.identity, "imagenet", "7")
    torch.save(supernet.state_dict(), tmp_path / "released")
    assert supernet_info(tmp_path / "released") == {}


def test_equal_weights_make_equal_files(tmp_path: Path, supernet: OFASupernet) -> None:
    info = {key: key for key in "zyxwvutsrq"}  # more than one order is likely
    save_supernet(tmp_path / "one", supernet, SPACE, info)
    supernet.to(memory_format=torch.channels_last)
    save_supernet(tmp_path / "other", supernet, SPACE, dict(reversed(info.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("size", [9, 100, -1])
def test_a_torn_file_of_ours_is_refused(tmp_path: Path, supernet: OFASupernet, size: int) -> None:
    path = tmp_path / "supernet.safetensors"
    save_supernet(path, supernet, SPACE)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WrongCheckpoint, match="is damaged"):
        load_supernet(path, SPACE)


def test_weights_of_others_in_safetensors_are_read(tmp_path: Path, supernet: OFASupernet) -> None:
    older_names = {older(name): tensor for name, tensor in supernet.state_dict().items()}
    save_file(older_names, tmp_path / "converted")
    loaded = load_supernet(tmp_path / "converted", SPACE)
    assert_equal(loaded.state_dict(), supernet.state_dict())


# -- released files -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_a_supernet_has_the_names_and_shapes_of_the_original(width: float) -> None:
    manifest = golden(f"ofa_mbv3_w{width}_keys.json")
    state = OFASupernet(MobileNet(width)).state_dict()
    assert len(state) == 475
    assert {name: list(tensor.shape) for name, tensor in state.items()} == manifest


def older(name: str) -> str:
    return name.replace(".conv.", ".mobile_inverted_conv.", 1)


def single(name: str) -> str:
    """Name an elastic layer's weight as those of a plain one."""
    return name.replace(".bn.bn.", ".bn.").replace(".conv.conv.weight", ".conv.weight")


def doubled(name: str) -> str:
    """Name a plain layer's weight as those of an elastic one."""
    return single(name).replace(".linear.", ".linear.linear.").replace("bn.", "bn.bn.")


@pytest.mark.parametrize("wrap", [{}, {"state_dict"}, {"model"}], ids=["bare", "state", "model"])
@pytest.mark.parametrize(
    "name_of",
    [str, older, single, doubled, lambda n: older(single(n))],
    ids=["now", "older", "single", "doubled", "older and single"],
)
def test_every_generation_of_names_loads(
    tmp_path: Path, supernet: OFASupernet, name_of: Callable[[str], str], wrap: set[str]
) -> None:
    content: Any = {name_of(name): tensor for name, tensor in supernet.state_dict().items()}
    for key in wrap:
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "released")
    loaded = load_supernet(tmp_path / "released", SPACE)
    assert_equal(loaded.state_dict(), supernet.state_dict())


def test_a_full_network_without_kernel_transforms_loads_with_identity(tmp_path: Path) -> None:
    space = MobileNet(base_widths=[8, 8, 16, 32, 64], num_classes=10)
    supernet = OFASupernet(space)
    randomise(supernet, seed=0)
    torch.save(supernet.extract(largest(space)).state_dict(), tmp_path / "full_net")
    loaded = load_supernet(tmp_path / "full_net", space).state_dict()
    for name, tensor in supernet.state_dict().items():
        is_transform = name.endswith("_matrix")
        assert torch.equal(loaded[name], torch.eye(len(tensor)) if is_transform else tensor)


def test_two_tensors_of_one_name_are_refused(supernet: OFASupernet) -> None:
    state = supernet.state_dict()
    name = "blocks.1.conv.depth_conv.bn.bn.weight"
    with pytest.raises(WrongCheckpoint, match=f"would both be {name}"):
        official_names({**state, single(name): state[name]})
    with pytest.raises(WrongCheckpoint, match="would both be a"):
        rename({"x": torch.zeros(1), "y": torch.zeros(1)}, lambda name: "a")


def test_a_wrong_file_is_refused_with_the_first_differences(
    tmp_path: Path, supernet: OFASupernet
) -> None:
    state = supernet.state_dict()
    del state["blocks.1.conv.point_linear.bn.bn.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["classifier.linear.bias"] = torch.zeros(1000)
    torch.save({"state_dict": state}, tmp_path / "wrong")
    with pytest.raises(WrongCheckpoint) as error:
        load_supernet(tmp_path / "wrong", SPACE)
    assert str(error.value).splitlines()[1:] == [
        "  missing: blocks.1.conv.point_linear.bn.bn.weight",
        "  not expected: extra.weight",
        "  other shapes: classifier.linear.bias: (1000,) in the file, expected (10,)",
    ]


def test_a_message_shows_three_differences_and_counts_the_rest_and_names_the_right_file(
    tmp_path: Path,
) -> None:
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "wrong")
    with pytest.raises(WrongCheckpoint) as error:
        load_supernet(tmp_path / "wrong", MobileNet(1.0))
    assert "missing: first_conv.conv.weight; first_conv.bn.weight" in str(error.value)
    assert "and 472 more" in str(error.value)
    assert "ofa_mbv3_d234_e346_k357_w1.0" in str(error.value)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_supernet(tmp_path / "none", MobileNet())
    for part in (
        str(tmp_path / "none"),
        "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/",
        "ofa_mbv3_d234_e346_k357_w1.2",
        "train_supernet.py",
    ):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match="No weights are published"):
        load_supernet(tmp_path / "none", SPACE)


def test_official_weights_are_known_by_width_and_classes() -> None:
    assert official_weights(MobileNet(1.0)).file_name == "ofa_mbv3_d234_e346_k357_w1.0"
    assert official_weights(MobileNet(1.2)).url.endswith("/ofa_mbv3_d234_e346_k357_w1.2")
    assert official_weights(MobileNet(1.2, num_classes=10)) is None
    assert official_weights(SPACE) is None


def test_a_space_without_supernet_says_so() -> None:
    with pytest.raises(ValueError, match="nasbench201 has no supernet"):
        build_supernet(_WithoutSupernet())


class _WithoutSupernet(NASBench201):
    supernet = ""


# -- files that are no weights --------------------------------------------------------------------


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was_run"),)


def test_code_in_a_file_is_not_run(
    tmp_path: Path, supernet: OFASupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": supernet.state_dict(), "x": Malicious()}, "bad.pt")
    Path("bad.pkl").write_bytes(pickle.dumps(Malicious(), protocol=2))
    for name in ("bad.pt", "bad.pkl"):
        with pytest.raises(WrongCheckpoint, match="not a file of weights alone"):
            load_supernet(Path(name), SPACE)
    assert not Path("was_run").exists()


def test_options_of_a_training_do_no_harm(tmp_path: Path, supernet: OFASupernet) -> None:
    content = {"model": supernet.state_dict(), "args": argparse.Namespace(lr=0.1, name="x")}
    torch.save(content, tmp_path / "released")
    load_supernet(tmp_path / "released", SPACE)


def test_numbers_and_arrays_of_numpy_beside_weights_do_no_harm(
    tmp_path: Path, supernet: OFASupernet
) -> None:
    beside = {"best": np.mean([70.1, 71.2]), "epoch": np.int64(3), "half": np.float16(0.5)}
    content = {**beside, "done": np.bool_(True), "losses": np.arange(3), "names": np.array(["a"])}
    torch.save({**content, "state_dict": supernet.state_dict()}, tmp_path / "released")
    loaded = load_supernet(tmp_path / "released", SPACE)
    assert_equal(loaded.state_dict(), supernet.state_dict())


class Meter:
    """Something of the training code that lies beside the weights."""


@pytest.mark.parametrize("wrap", ["state_dict", "model", ""])
def test_what_cannot_be_loaded_is_named_with_the_line_that_saves_the_weights_alone(
    tmp_path: Path, supernet: OFASupernet, wrap: str
) -> None:
    path = tmp_path / "it's.pth"
    state = supernet.state_dict()
    torch.save({wrap: state, "meter": Meter()} if wrap else {**state, "meter": Meter()}, path)
    with pytest.raises(WrongCheckpoint, match=r"holds a \S+Meter, which is not loaded") as error:
        load_supernet(path, SPACE)
    assert "If you trust where it is from" in str(error.value)
    python, flag, program = shlex.split(str(error.value).splitlines()[-1])
    assert (python, flag) == ("python", "-c")
    exec(program, {})
    loaded = load_supernet(tmp_path / "it's-weights.pth", SPACE)
    assert_equal(loaded.state_dict(), state)


WRAPPERS: dict[str, Callable[[str], str]] = {
    "DataParallel": lambda n: f"module.{n}",
    "compiled": lambda n: f"_orig_mod.{n}",
    "compiled, then parallel": lambda n: f"module._orig_mod.{n}",
    "parallel, then compiled": lambda n: f"_orig_mod.module.{n}",
    "blocks compiled": lambda n: n.replace(".", "._orig_mod.", 1),
    "twice parallel": lambda n: f"module.module.{n}",
}


@pytest.mark.parametrize("wrapped", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("option", ["mobilenet_tiny", "shufflenet_tiny", "autoformer_tiny32"])
def test_weights_that_were_saved_through_a_wrapper_load(
    tmp_path: Path, option: str, wrapped: Callable[[str], str]
) -> None:
    space = build(load("search", f"searchspace={option}").searchspace)
    supernet = build_supernet(space)
    content = {wrapped(name): weight for name, weight in supernet.state_dict().items()}
    torch.save({"model": content}, tmp_path / "torch")
    save_file({name: weight.contiguous() for name, weight in content.items()}, tmp_path / "safe")
    for name in ("torch", "safe"):
        loaded = load_supernet(tmp_path / name, space)
        assert_equal(loaded.state_dict(), supernet.state_dict())


def test_a_wrapped_name_beside_its_plain_one_is_refused(
    tmp_path: Path, supernet: OFASupernet
) -> None:
    state = supernet.state_dict()
    name = next(iter(state))
    torch.save({**state, f"module.{name}": state[name]}, tmp_path / "both")
    with pytest.raises(WrongCheckpoint, match=f"would both be {name}"):
        load_supernet(tmp_path / "both", SPACE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2], "holds a list, expected a state dict"),
        ({"epoch": 3, "state_dict": {}}, "holds no weights, only nothing"),
        ({"epoch": 3}, "holds no weights, only epoch"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    torch.save(content, tmp_path / "other")
    with pytest.raises(WrongCheckpoint, match=problem):
        load_supernet(tmp_path / "other", SPACE)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=200))
def test_junk_is_refused(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "junk").write_bytes(junk)
    with pytest.raises(WrongCheckpoint):
        load_supernet(tmp_path / "junk", SPACE)


def test_a_torn_file_is_refused(tmp_path: Path, supernet: OFASupernet) -> None:
    buffer = io.BytesIO()
    torch.save(supernet.state_dict(), buffer)
    whole = buffer.getvalue()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "torn").write_bytes(whole[:size])
        with pytest.raises(WrongCheckpoint, match="torn"):
            load_supernet(tmp_path / "torn", SPACE)
