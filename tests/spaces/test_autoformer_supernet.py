"""AutoFormer's supernet against the original one, and against its definition written out.

What every supernet promises (extracting, gradients, threads, export) is tested for all of them in
`test_every_supernet.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.autoformer.network import DropPath, VisionTransformer
from collm_nas.spaces.autoformer.space import AutoFormer, shape_of
from collm_nas.spaces.autoformer.supernet import AutoFormerSupernet
from collm_nas.spaces.checkpoint import WrongCheckpoint, load_supernet, official_weights
from collm_nas.spaces.supernet import build_supernet
from collm_nas.testing.networks import assert_same, untrained
from tests.spaces.golden import assert_golden

SIZES = {"T": "tiny", "S": "small", "B": "base"}
OWN = {"depth": [1, 2, 3], "embed_dim": [8, 12], "mlp_ratio": [1, 2.5], "num_heads": [1, 2]}


def own(side: int = 4) -> AutoFormer:
    """Build a small space whose images have `side` x `side` patches."""
    return AutoFormer(OWN, resolution=2 * side, patch_size=2, num_classes=3)


def architecture(reference: Any) -> Architecture:
    genes = {"mlp_ratio": reference["mlp"], "num_heads": reference["heads"]}
    return Architecture.of(
        {"depth": [reference["depth"]], "embed_dim": [reference["embed"]], **genes}
    )


@pytest.fixture(scope="module")
def supernet() -> AutoFormerSupernet:
    torch.manual_seed(0)
    return AutoFormerSupernet(own())


# -- parity with the original -------------------------------------------------------------------


@pytest.mark.parametrize(("letter", "entries"), [("T", 232), ("S", 232), ("B", 264)])
def test_state_dict_is_that_of_the_original(letter: str, entries: int, golden: Path) -> None:
    known = json.loads((golden / f"autoformer_{letter}_keys.json").read_text())
    with torch.device("meta"):
        supernet = build_supernet(AutoFormer(SIZES[letter]))
    assert {name: list(w.shape) for name, w in supernet.state_dict().items()} == known
    assert len(known) == entries


@pytest.mark.parametrize("letter", SIZES)
def test_logits_are_those_of_the_original(
    letter: str,
    golden: Path,
    filled: Callable[[nn.Module], AutoFormerSupernet],
    reference_images: Callable[[int], Tensor],
) -> None:
    references = json.loads((golden / "autoformer_forward.json").read_text())
    of_size = [reference for name, reference in references.items() if name.startswith(letter)]
    assert of_size
    supernet = filled(AutoFormerSupernet(AutoFormer(SIZES[letter])))
    with torch.no_grad():
        for reference in of_size:
            arch = architecture(reference["arch"])
            assert_golden(supernet(reference_images(224), arch), reference)


def test_released_files_load(supernet: AutoFormerSupernet, tmp_path: Path) -> None:
    options = argparse.Namespace(epochs=500)
    torch.save({"model": supernet.state_dict(), "args": options}, tmp_path / "supernet.pth")
    loaded = load_supernet(tmp_path / "supernet.pth", own())
    for name, weight in supernet.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_the_weights_of_another_size_are_refused(
    supernet: AutoFormerSupernet, tmp_path: Path
) -> None:
    torch.save({"model": supernet.state_dict()}, tmp_path / "supernet.pth")
    larger = AutoFormer({**OWN, "embed_dim": [16]}, resolution=8, patch_size=2, num_classes=3)
    message = r"cls_token: \(1, 1, 12\) in the file, expected \(1, 1, 16\)"
    with pytest.raises(WrongCheckpoint, match=message):
        load_supernet(tmp_path / "supernet.pth", larger)


@pytest.mark.parametrize("size", SIZES.values())
def test_published_weights_are_known_for_published_sizes(size: str) -> None:
    for space in (AutoFormer(size), AutoFormer(size, "repo")):
        weights = official_weights(space)
        assert weights
        assert weights.url == (
            "https://github.com/silent-chen/AutoFormer-model-zoo/releases/download/v1.0/"
            f"supernet-{size}.pth"
        )
    assert official_weights(own()) is None


# -- the definition, written out ----------------------------------------------------------------


def by_definition(state: dict[str, Tensor], images: Tensor, arch: Architecture) -> Tensor:
    """Run a subnet as it is defined, token pair by token pair, on the weights of a supernet."""
    embed, heads, ratios = shape_of(arch)
    patch = state["patch_embed_super.proj.weight"].shape[-1]
    side = images.shape[-1] // patch
    x = F.conv2d(
        images,
        state["patch_embed_super.proj.weight"][:embed],
        state["patch_embed_super.proj.bias"][:embed],
        stride=patch,
    )
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1)[..., :embed], _tokens(x)], dim=1)
    x = x + state["pos_embed"][..., :embed]
    for i, (num_heads, ratio) in enumerate(zip(heads, ratios, strict=True)):
        layer = {n.removeprefix(f"blocks.{i}."): w for n, w in state.items()}
        normed = _norm(x, layer, "attn_layer_norm")
        x = x + _attention(normed, layer, num_heads, side)
        hidden = _linear(_norm(x, layer, "ffn_layer_norm"), layer, "fc1", int(embed * ratio))
        x = x + _linear(F.gelu(hidden), layer, "fc2", embed)
    x = _norm(x, state, "norm")[:, 1:].mean(1)
    return F.linear(x, state["head.weight"][:, :embed], state["head.bias"])


def _attention(x: Tensor, layer: dict[str, Tensor], num_heads: int, side: int) -> Tensor:
    width = 64 * num_heads
    weight = layer["attn.qkv.weight"][: 3 * width, : x.shape[-1]]
    bias = layer["attn.qkv.bias"][: 3 * width]
    q, k, v = (
        F.linear(x, weight[part::3], bias[part * width : (part + 1) * width])
        .unflatten(-1, (num_heads, 64))
        .transpose(1, 2)
        for part in range(3)
    )
    to_keys, to_values = (_relations(layer, name, side) for name in "kv")
    logits = q @ k.transpose(-2, -1) + torch.einsum("nhid,ijd->nhij", q, to_keys)
    attention = (logits / 8).softmax(-1)
    out = attention @ v + torch.einsum("nhij,ijd->nhid", attention, to_values)
    return _linear(out.transpose(1, 2).flatten(2), layer, "attn.proj", x.shape[-1])


def _relations(layer: dict[str, Tensor], name: str, side: int) -> Tensor:
    """Look up every pair of tokens in both tables; row 0 is for the class token."""
    rows, columns = (
        layer[f"attn.rel_pos_embed_{name}.embeddings_table_{axis}"] for axis in ("v", "h")
    )
    if rows.is_meta:
        return rows.new_empty(side**2 + 1, side**2 + 1, 64)
    places = [None, *((r, c) for r in range(side) for c in range(side))]

    def index(i: Any, j: Any, axis: int) -> int:
        if i is None or j is None:
            return 0
        return 15 + min(14, max(-14, j[axis] - i[axis]))

    vertical = torch.tensor([[index(i, j, 0) for j in places] for i in places])
    horizontal = torch.tensor([[index(i, j, 1) for j in places] for i in places])
    return rows[vertical] + columns[horizontal]


def _tokens(x_NCHW: Tensor) -> Tensor:
    return x_NCHW.flatten(2).transpose(1, 2)


def _norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    embed = x.shape[-1]
    return F.layer_norm(x, (embed,), state[f"{name}.weight"][:embed], state[f"{name}.bias"][:embed])


def _linear(x: Tensor, state: dict[str, Tensor], name: str, width: int) -> Tensor:
    weight = state[f"{name}.weight"][:width, : x.shape[-1]]
    return F.linear(x, weight, state[f"{name}.bias"][:width])


@pytest.mark.parametrize("side", [1, 4, 17])
def test_fast_attention_is_the_definition(side: int) -> None:
    """With 17 patches a side, the farthest pairs are beyond the largest distance of the tables."""
    space, rng = own(side), random.Random(0)
    supernet = untrained(space)
    images = torch.randn(2, 3, 2 * side, 2 * side, dtype=torch.double)
    with torch.no_grad():
        for arch in [space.full, *(space.sample(rng) for _ in range(3))]:
            expected = by_definition(supernet.state_dict(), images, arch)
            assert_same(supernet(images, arch), expected)


@pytest.mark.parametrize("size", SIZES.values())
def test_macs_are_those_of_the_definition(size: str) -> None:
    space = AutoFormer(size)
    with torch.device("meta"):
        state = build_supernet(space).state_dict()
        images = torch.empty(1, 3, 224, 224)
    archs = [space.full, *space.published_within().values()]
    for arch in archs:
        with FlopCounterMode(display=False) as counter:
            by_definition(state, images, arch)
        assert counter.get_total_flops() == 2 * space.costs(arch)["macs"]


def test_weight_rows_of_queries_keys_and_values_alternate_and_those_of_the_bias_do_not() -> None:
    space = own()
    supernet = AutoFormerSupernet(space)
    attention = supernet.get_submodule("blocks.0.attn.qkv")
    with torch.no_grad():
        for weight in attention.parameters():
            weight.copy_(torch.arange(len(weight)).view(-1, *[1] * (weight.dim() - 1)))
    genes = {"depth": [1], "embed_dim": [8], "mlp_ratio": [1.0], "num_heads": [1]}
    cut = supernet.extract(Architecture.of(genes)).get_submodule("blocks.0.attn.qkv")
    weight, bias = cut.weight, cut.bias
    assert weight[:, 0].tolist() == [*range(0, 192, 3), *range(1, 192, 3), *range(2, 192, 3)]
    assert bias.tolist() == [*range(192)]


# -- training -----------------------------------------------------------------------------------


def test_initialisation_is_that_of_the_original() -> None:
    torch.manual_seed(0)
    state = AutoFormerSupernet(AutoFormer()).state_dict()
    table = "blocks.3.attn.rel_pos_embed_k.embeddings_table_h"
    for name in ("blocks.0.fc1.weight", "head.weight", "pos_embed", "cls_token", table):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.15)
    assert state["blocks.0.fc1.weight"].abs().max() > 0.07  # far tails: it is a normal distribution
    for name, weight in state.items():
        if "norm.weight" in name:
            assert weight.eq(1).all()
        elif name.endswith("bias") and "patch" not in name:
            assert weight.eq(0).all()
    limit = (3 * 16 * 16) ** -0.5
    assert state["patch_embed_super.proj.weight"].abs().max() == pytest.approx(limit, rel=0.01)


def test_drop_path_rises_over_the_layers_of_the_supernet() -> None:
    space = AutoFormer(OWN | {"depth": [2, 5]}, resolution=8, patch_size=2, num_classes=3)
    supernet = AutoFormerSupernet(space)
    rates = [block.drop_path.rate for block in supernet.blocks]
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
    genes = {**dict(space.full.genes), "depth": [2]}
    shallow = supernet.extract(space.canonical(Architecture.of(genes)))
    assert [block.drop_path.rate for block in shallow.blocks] == pytest.approx([0, 0.025])


def test_drop_path_leaves_out_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(20_000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert out.std(dim=(1, 2)).max() == 0
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert drop.eval()(out) is out


def test_training_is_random_and_evaluation_is_not(supernet: AutoFormerSupernet) -> None:
    arch, images = own().full, torch.randn(32, 3, 8, 8)
    with torch.no_grad():
        for mode, is_random in ((True, True), (False, False)):
            supernet.train(mode)
            assert torch.equal(supernet(images, arch), supernet(images, arch)) != is_random
            subnet = supernet.extract(arch)
            assert subnet.training == mode
            assert torch.equal(subnet(images), subnet(images)) != is_random


def test_nothing_but_drop_path_draws_random_numbers(supernet: AutoFormerSupernet) -> None:
    supernet.eval()
    before = torch.get_rng_state()
    arch = own().full
    supernet.extract(arch)
    supernet(torch.zeros(1, 3, 8, 8), arch)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_in_mixed_precision_trains_only_the_subnet(supernet: AutoFormerSupernet) -> None:
    supernet.train().zero_grad()
    genes = {"depth": [2], "embed_dim": [8], "mlp_ratio": [1.0, 2.5], "num_heads": [1, 2]}
    with torch.autocast("cpu", torch.bfloat16):
        logits = supernet(torch.randn(8, 3, 8, 8), Architecture.of(genes))
    assert logits.dtype == torch.bfloat16
    F.cross_entropy(logits.float(), torch.zeros(8, dtype=torch.long)).backward()
    gradients = {name: weight.grad for name, weight in supernet.named_parameters()}
    assert all(g is None for name, g in gradients.items() if name.startswith("blocks.2."))
    used: Any = gradients["blocks.0.fc1.weight"]
    assert used[:8, :8].ne(0).all()
    assert used[8:].eq(0).all()
    assert used[:, 8:].eq(0).all()
    for name, gradient in gradients.items():
        assert gradient is None or gradient.isfinite().all(), name


# -- extracted subnets --------------------------------------------------------------------------


def test_extracted_subnet_is_independent(supernet: AutoFormerSupernet) -> None:
    subnet = supernet.extract(own().full).double()
    assert isinstance(subnet, VisionTransformer)
    assert all(w.dtype == torch.double for w in subnet.parameters())
    assert all(w.dtype == torch.float for w in supernet.parameters())
    assert all(w.requires_grad and w.is_contiguous() for w in subnet.parameters())


def test_images_of_another_size_are_refused(supernet: AutoFormerSupernet) -> None:
    message = "takes images of 8x8 pixels (searchspace.resolution), got (32, 32)"
    with pytest.raises(ValueError, match=re.escape(message)):
        supernet(torch.zeros(1, 3, 32, 32), own().full)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_extracted_subnet_compiles_to_machine_code(supernet: AutoFormerSupernet) -> None:
    subnet = supernet.eval().extract(own().full)
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.compile(subnet)(images), subnet(images), rtol=1e-4, atol=1e-5
        )
