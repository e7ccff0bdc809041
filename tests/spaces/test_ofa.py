from __future__ import annotations

import copy
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from collm_nas.core.architecture import Architecture
from collm_nas.spaces.mobilenet.network import MobileNetV3, init_weights
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet, SortChannels
from collm_nas.spaces.supernet import build_supernet
from tests.ofa_goldens import (
    TINY,
    fill_module,
    filled_supernet,
    golden,
    largest,
    randomise,
    relative_error,
    smallest,
    wire,
)

torch.set_num_threads(1)
seeds = st.integers(0, 2**32)
widths = pytest.mark.parametrize("width", [1.0, 1.2])


@pytest.fixture(scope="module")
def tiny() -> OFASupernet:
    """A small supernet in evaluation mode; tests do not change it."""
    supernet = OFASupernet(MobileNet(**TINY)).eval()
    randomise(supernet, seed=0)
    return supernet


def images(count: int, side: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def sample(space: MobileNet, seed: int) -> Architecture:
    return space.sample(random.Random(seed))


# -- against values of the original code ----------------------------------------------------------


@pytest.mark.parametrize("name", ["w1.0/OFA-T", "w1.0/max", "w1.2/OFA-S", "w1.2/min160"])
def test_logits_equal_the_original_code(name: str) -> None:
    row, fill = golden("ofa_forward.json")[name], fill_module()
    resolution = row["arch"]["r"]
    supernet = filled_supernet(float(name[1:4]), [resolution])
    arch = supernet.space.decode(wire(row["arch"]))
    x = fill.inp(2, resolution)
    with torch.no_grad():
        for logits in (supernet(x, arch), supernet.extract(arch)(x)):
            found = fill.rec(logits)
            assert found["first5"] == pytest.approx(row["first5"], abs=1e-5)
            assert found["sum"] == pytest.approx(row["sum"], rel=1e-5, abs=1e-3)
            assert found["abs_mean"] == pytest.approx(row["abs_mean"], abs=1e-5)
            assert found["argmax"] == row["argmax"]


def test_channel_sorting_equals_the_original_code() -> None:
    row, fill = golden("ofa_extra.json")["ofa_w1.0_sort_stage0_e46"], fill_module()
    supernet = filled_supernet(1.0, [160])
    small = {name: row["small"][name] for name in ("d", "ks", "e")}
    counts = {"d": 5, "ks": 20, "e": 20}
    arch = supernet.space.decode({"r": [160], **{n: [small[n]] * counts[n] for n in counts}})
    x, full = fill.inp(2, 160), largest(supernet.space)
    with torch.no_grad():
        before = supernet(x, full)
        SortChannels([4, 6])(supernet)
        after = supernet(x, full)
        found = fill.rec(after), fill.rec(supernet(x, arch))
    assert float((after - before).abs().max()) < 5e-7
    for values, expected in zip(found, (row["full_r160"], row["small"]), strict=True):
        assert values["first5"] == pytest.approx(expected["first5"], abs=1e-5)
        assert values["argmax"] == expected["argmax"]


# -- against the original package -----------------------------------------------------------------


def original(width: float, supernet: OFASupernet, expansions: tuple[int, ...] = (3, 4, 6)):
    """The original network with the weights of `supernet`, without dropout."""
    networks = pytest.importorskip("ofa.imagenet_classification.elastic_nn.networks")
    net = networks.OFAMobileNetV3(
        width_mult=width,
        dropout_rate=0,
        ks_list=[3, 5, 7],
        expand_ratio_list=list(expansions),
        depth_list=[2, 3, 4],
    )
    net.load_state_dict(supernet.state_dict())
    return net.eval()


def activate(net: nn.Module, space: MobileNet, arch: Architecture) -> None:
    genes = space.full_genes(arch, random.Random(0))
    net.set_active_subnet(ks=genes["ks"], e=genes["e"], d=genes["d"])


def random_supernet(width: float) -> OFASupernet:
    supernet = OFASupernet(MobileNet(width)).eval()
    randomise(supernet, seed=1)
    return supernet


@widths
def test_random_subnets_equal_the_original_package(width: float) -> None:
    supernet = random_supernet(width)
    net, x = original(width, supernet), images(2, 64)
    with torch.no_grad():
        for seed in range(20):
            arch = sample(supernet.space, seed)
            activate(net, supernet.space, arch)
            expected = net(x)
            assert relative_error(supernet(x, arch), expected) < 1e-5
            assert relative_error(supernet.extract(arch)(x), expected) < 1e-5


@widths
@pytest.mark.parametrize("expansions", [(4, 6), (3, 4, 6)], ids=["phase 1", "phase 2"])
def test_sorted_weights_and_subnets_equal_the_original_package(
    width: float, expansions: tuple[int, ...]
) -> None:
    supernet = random_supernet(width)
    net, x = original(width, supernet, expansions), images(2, 64)
    net.re_organize_middle_weights(expand_ratio_stage=len(expansions) - 2)
    SortChannels(expansions)(supernet)
    for name, tensor in net.state_dict().items():
        assert torch.equal(supernet.state_dict()[name], tensor), name
    with torch.no_grad():
        for seed in range(5):
            arch = sample(supernet.space, seed)
            activate(net, supernet.space, arch)
            assert relative_error(supernet(x, arch), net(x)) < 1e-5


def test_a_training_step_equals_the_original_package() -> None:
    """In double precision: batch norms over few values amplify what differs in single."""
    supernet = random_supernet(1.0)
    net, labels = original(1.0, supernet).double().train(), torch.tensor([1, 2, 3, 4])
    supernet.double().train()
    supernet.classifier.dropout.p = 0
    for seed in range(3):
        arch, x = sample(supernet.space, seed), images(4, 64, seed).double()
        activate(net, supernet.space, arch)
        F.cross_entropy(net(x), labels).backward()
        F.cross_entropy(supernet(x, arch), labels).backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    for name, parameter in supernet.named_parameters():
        expected = gradients[name]
        assert (parameter.grad is None) == (expected is None), name
        if expected is not None:
            assert relative_error(parameter.grad, expected) < 1e-6, name
    for name, buffer in net.named_buffers():
        assert relative_error(supernet.get_buffer(name), buffer) < 1e-6, name


# -- properties -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(seed=seeds)
def test_an_extracted_subnet_equals_the_supernet(tiny: OFASupernet, seed: int) -> None:
    arch, x = sample(tiny.space, seed), images(2, 32, seed)
    with torch.no_grad():
        assert relative_error(tiny.extract(arch)(x), tiny(x, arch)) < 1e-6


@settings(deadline=None, max_examples=10)
@given(seed=seeds)
def test_answers_that_differ_in_inactive_genes_give_equal_logits(
    tiny: OFASupernet, seed: int
) -> None:
    space, x = tiny.space, images(2, 32)
    arch = sample(space, seed)
    answers = [space.encode(arch) for _ in range(2)]
    for name in ("ks", "e"):
        inactive = [i for i, gene in enumerate(arch[name]) if gene == 0]
        for i in inactive:
            answers[1][name][i] = random.Random(f"{seed}/{i}").choice(answers[0][name])
    with torch.no_grad():
        first, second = (tiny(x, space.decode(answer)) for answer in answers)
    assert torch.equal(first, second)


@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_gradients_reach_exactly_the_weights_in_use(tiny: OFASupernet, seed: int) -> None:
    supernet = copy.deepcopy(tiny).train()
    arch = sample(supernet.space, seed)
    supernet(images(8, 32, seed), arch).square().sum().backward()
    used = used_slices(supernet, arch)
    for name, parameter in supernet.named_parameters():
        if name not in used:
            assert parameter.grad is None, name
            continue
        mask = torch.zeros_like(parameter, dtype=torch.bool)
        mask[used[name]] = True
        assert not parameter.grad[~mask].any(), name
        if name.endswith("conv.weight"):  # all its channels, wherever a ReLU has not cut them off
            channels = parameter.grad[used[name]].flatten(1).abs().sum(1)
            assert (channels > 0).float().mean() > 0.5, name


def used_slices(supernet: OFASupernet, arch: Architecture) -> dict[str, tuple[slice, ...]]:
    """Which part of each weight a subnet uses, written from the definition of the space."""
    names = [name for name, _ in supernet.named_parameters()]
    outside = ("first_conv", "blocks.0.", "final_expand", "feature_mix", "classifier")
    used: dict[str, tuple[slice, ...]] = {n: () for n in names if n.startswith(outside)}
    for slot, kernel, expansion in supernet.space.active_blocks(arch):
        hidden = -(-slot.in_channels * expansion // 8) * 8
        squeezed = max(8, round(hidden // 4 / 8 + 1e-9) * 8)
        squeezed += 8 * (squeezed < 0.9 * (hidden // 4))
        start = (5 - kernel) // 2
        centre = slice(start, start + kernel)
        block = {
            "inverted_bottleneck.conv.conv.weight": (slice(hidden),),
            "inverted_bottleneck.bn.bn.weight": (slice(hidden),),
            "inverted_bottleneck.bn.bn.bias": (slice(hidden),),
            "depth_conv.conv.conv.weight": (slice(hidden), slice(1), centre, centre),
            "depth_conv.bn.bn.weight": (slice(hidden),),
            "depth_conv.bn.bn.bias": (slice(hidden),),
            "point_linear.conv.conv.weight": (slice(None), slice(hidden)),
            "point_linear.bn.bn.weight": (),
            "point_linear.bn.bn.bias": (),
        }
        if kernel == 3:
            block["depth_conv.conv.5to3_matrix"] = ()
        if slot.squeeze_excite:
            block |= {
                "depth_conv.se.fc.reduce.weight": (slice(squeezed), slice(hidden)),
                "depth_conv.se.fc.reduce.bias": (slice(squeezed),),
                "depth_conv.se.fc.expand.weight": (slice(hidden), slice(squeezed)),
                "depth_conv.se.fc.expand.bias": (slice(hidden),),
            }
        used |= {f"blocks.{1 + slot.index}.conv.{name}": part for name, part in block.items()}
    return used


def test_training_updates_the_statistics_of_the_channels_in_use_alone() -> None:
    supernet = OFASupernet(MobileNet(**TINY))
    supernet(images(4, 32), smallest(supernet.space))
    used, unused = supernet.blocks[1].conv, supernet.blocks[2].conv
    norm = used.depth_conv.bn.bn
    assert norm.running_mean[:16].any()  # 8 channels, expanded twice
    assert not norm.running_mean[16:].any()
    assert int(norm.num_batches_tracked) == 1
    assert int(unused.depth_conv.bn.bn.num_batches_tracked) == 0


def test_evaluation_and_extraction_leave_the_supernet_as_it_was(tiny: OFASupernet) -> None:
    before = copy.deepcopy(tiny.state_dict())
    subnet = tiny.extract(largest(tiny.space))
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.zero_()
    tiny(images(2, 32), largest(tiny.space))
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.state_dict().items())


def test_an_extracted_subnet_can_be_trained(tiny: OFASupernet) -> None:
    subnet = tiny.extract(sample(tiny.space, 0)).train()
    subnet(images(4, 32)).sum().backward()
    assert all(p.grad is not None for p in subnet.parameters())


@widths
def test_costs_are_those_of_the_extracted_network(width: float) -> None:
    space = MobileNet(width)
    with torch.device("meta"):
        supernet = OFASupernet(space).eval()
    for seed in range(3):
        arch = sample(space, seed)
        subnet, side = supernet.extract(arch), space.resolution(arch)
        with FlopCounterMode(display=False) as counter:
            subnet(torch.empty(1, 3, side, side, device="meta"))
        costs = space.costs(arch)
        assert counter.get_total_flops() == 2 * costs["macs"]
        assert sum(p.numel() for p in subnet.parameters()) == costs["params"]


def test_several_threads_may_share_one_supernet(tiny: OFASupernet) -> None:
    archs, x = [sample(tiny.space, seed) for seed in range(16)], images(2, 32)

    def logits(arch: Architecture) -> Tensor:
        with torch.no_grad():
            return tiny(x, arch) + tiny.extract(arch)(x)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(logits, archs))
    for arch, values in zip(archs, found, strict=True):
        assert torch.equal(values, logits(arch))


# -- channel sorting ------------------------------------------------------------------------------


def test_phase_2_keeps_the_trained_width_where_there_is_no_squeeze_and_excitation() -> None:
    """With squeeze-and-excitation it changes a little: the original's quirk, kept."""
    space, x = MobileNet(1.0, [64]), images(2, 64)
    supernet = OFASupernet(space).eval()
    randomise(supernet, seed=0)
    arch = space.decode({"r": [64], "d": [4] * 5, "ks": [7] * 20, "e": [4] * 20})

    def stage_0(image: Tensor) -> Tensor:
        y = supernet.blocks[0](supernet.stem(image))
        for block in space.active_blocks(arch)[:4]:
            y = supernet.elastic_block(block.slot)(y, block)
        return y

    with torch.no_grad():
        before = stage_0(x), supernet(x, arch), supernet(x, largest(space))
        SortChannels([3, 4, 6])(supernet)
        after = stage_0(x), supernet(x, arch), supernet(x, largest(space))
    assert relative_error(after[0], before[0]) < 1e-5
    assert relative_error(after[1], before[1]) > 1e-5
    assert relative_error(after[2], before[2]) < 1e-5


def test_the_most_important_channels_come_first() -> None:
    supernet = OFASupernet(MobileNet(**TINY))
    SortChannels([2, 4])(supernet)
    for block in supernet.blocks[1:]:
        importance = block.conv.point_linear.conv.conv.weight.abs().sum((0, 2, 3))
        assert (importance.diff() <= 1e-6).all()


@pytest.mark.parametrize("expansions", [[], [4], [2, 3], [2, 4, 6]])
def test_only_the_widths_of_a_phase_can_be_sorted_for(
    tiny: OFASupernet, expansions: list[int]
) -> None:
    (problem,) = SortChannels(expansions).problems(tiny.space, "here")
    assert problem.startswith("here.expansions must be two or more of the expansions [2, 3, 4]")


# -- initialisation -------------------------------------------------------------------------------


def test_a_new_supernet_is_initialised_as_the_original() -> None:
    supernet = build_supernet(MobileNet(1.0)).requires_grad_(False)
    assert isinstance(supernet, OFASupernet)
    conv = supernet.blocks[20].conv
    weight = conv.inverted_bottleneck.conv.conv.weight
    assert float(weight.std()) == pytest.approx((2 / len(weight)) ** 0.5, rel=0.02)
    depthwise = conv.depth_conv.conv.conv.weight
    assert float(depthwise.std()) == pytest.approx((2 / (49 * len(depthwise))) ** 0.5, rel=0.02)
    assert torch.equal(conv.depth_conv.conv.get_parameter("7to5_matrix"), torch.eye(25))
    assert torch.equal(conv.depth_conv.conv.get_parameter("5to3_matrix"), torch.eye(9))
    linear = supernet.classifier.linear
    assert float(linear.weight.abs().max()) <= linear.in_features**-0.5
    assert not linear.bias.any()
    assert not conv.depth_conv.se.fc.reduce.bias.any()


def test_a_plain_network_can_start_from_nothing() -> None:
    space = MobileNet(**TINY)
    net = MobileNetV3(space.skeleton, space.active_blocks(largest(space)), dropout=0.0)
    init_weights(net)
    assert net(images(2, 32)).shape == (2, 10)


@pytest.mark.parametrize(("width", "dropout"), [(1.0, 0.1), (1.2, 0.2)])
def test_dropout_is_that_of_the_published_nets(width: float, dropout: float) -> None:
    with torch.device("meta"):
        supernet = OFASupernet(MobileNet(width))
    assert supernet.classifier.dropout.p == dropout
    assert supernet.extract(smallest(supernet.space)).classifier.dropout.p == dropout


# -- precision, layout, compilers -----------------------------------------------------------------


def test_bfloat16_works(tiny: OFASupernet) -> None:
    arch, x = sample(tiny.space, 0), images(4, 32)
    with torch.no_grad():
        exact = tiny(x, arch)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = tiny(x, arch)
        lower = copy.deepcopy(tiny).to(torch.bfloat16).extract(arch)(x.to(torch.bfloat16))
    for logits in (mixed, lower):
        assert logits.dtype == torch.bfloat16
        assert (logits - exact).norm() / exact.norm() < 0.1


def test_channels_last_works(tiny: OFASupernet) -> None:
    arch, x = sample(tiny.space, 0), images(4, 32)
    last = {"memory_format": torch.channels_last}
    with torch.no_grad():
        expected = tiny(x, arch)
        assert relative_error(tiny(x.to(**last), arch), expected) < 1e-5
        assert relative_error(tiny.extract(arch).to(**last)(x.to(**last)), expected) < 1e-5
        assert relative_error(copy.deepcopy(tiny).to(**last)(x, arch), expected) < 1e-5


def test_an_extracted_subnet_can_be_exported(tiny: OFASupernet) -> None:
    subnet, x = tiny.extract(sample(tiny.space, 0)), images(2, 32)
    program = torch.export.export(subnet, (x,))
    with torch.no_grad():
        assert relative_error(program.module()(x), subnet(x)) < 1e-5


@pytest.mark.slow
def test_an_extracted_subnet_can_be_compiled(tiny: OFASupernet) -> None:
    subnet, x = tiny.extract(sample(tiny.space, 0)), images(2, 32)
    with torch.no_grad():
        compiled = torch.compile(subnet, fullgraph=True)
        assert relative_error(compiled(x), subnet(x)) < 1e-4
