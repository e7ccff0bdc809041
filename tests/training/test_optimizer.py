import random

import pytest
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.optimizer import SGD, AdamW, decay_groups
from tests.ofa_goldens import golden
from tests.training.recipes import recipe, searchspace


def decaying(network, rule):
    """Name the parameters that decay, and those that do not."""
    names = {id(p): name for name, p in network.named_parameters()}
    groups = decay_groups(network, 0.1, rule)
    split = {True: set(), False: set()}
    for group in groups:
        split[group["weight_decay"] > 0] |= {names[id(p)] for p in group["params"]}
    assert split[True] | split[False] == set(names.values())
    return split[True], split[False]


def test_once_for_all_decays_what_its_own_code_decays():
    pytest.importorskip("ofa", reason="the package ofa is not installed")
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    theirs = OFAMobileNetV3(
        width_mult=1.0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4]
    )
    names = {id(p): name for name, p in theirs.named_parameters()}
    expected = {names[id(p)] for p in theirs.get_parameters(["bn", "bias"], mode="exclude")}
    decays, others = decaying(build_supernet(MobileNet(width=1.0)), "ofa")
    assert decays == expected
    assert decays | others == set(names.values())
    assert "blocks.7.conv.depth_conv.conv.7to5_matrix" in decays
    assert "blocks.5.conv.depth_conv.se.fc.reduce.weight" in decays
    assert "blocks.5.conv.depth_conv.se.fc.reduce.bias" in others


def test_autoformer_decays_what_timm_decays_by_the_names_of_its_code():
    supernet = build_supernet(AutoFormer("tiny"))
    names = {id(p): name for name, p in supernet.named_parameters()}
    skipped = ["pos_embed", "cls_token", "rel_pos_embed"]  # the last one is no parameter's name
    for group in param_groups_weight_decay(supernet, 0.1, no_weight_decay_list=skipped):
        theirs = {names[id(p)] for p in group["params"]}
        assert theirs == decaying(supernet, "autoformer")[0 if group["weight_decay"] else 1]
    decays, others = decaying(supernet, "autoformer")
    assert "blocks.0.attn.rel_pos_embed_k.embeddings_table_v" in decays
    assert {"pos_embed", "cls_token", "norm.weight"} <= others
    assert decays | others == set(golden("autoformer_T_keys.json"))


def test_spos_decays_the_weights_that_are_no_vectors():
    decays, others = decaying(build_supernet(ShuffleNet()), "spos")
    manifest = golden("spos_keys.json")
    assert decays == {n for n, shape in manifest.items() if n.endswith("weight") and shape[1:]}
    assert not others, "the supernet's batch norms have no parameters and its classifier no bias"


def test_vectors_of_a_retrained_spos_network_do_not_decay():
    space = searchspace("shufflenet_tiny")
    subnet = build_supernet(space).extract(space.sample(random.Random(0)))
    decays, others = decaying(subnet, "spos")
    sizes = {name: p.ndim for name, p in subnet.named_parameters()}
    assert {sizes[name] for name in decays} == {2, 4}
    assert {sizes[name] for name in others} == {1}


def test_weights_are_those_of_convolutions_and_linear_layers():
    for space in (searchspace("mobilenet_tiny"), searchspace("autoformer_tiny32")):
        supernet = build_supernet(space)
        expected = {
            f"{name}.weight"
            for name, module in supernet.named_modules()
            if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.ndim > 1
        }
        assert decaying(supernet, "weights")[0] == expected


def test_all_is_all():
    assert decaying(nn.BatchNorm2d(3), "all") == ({"weight", "bias"}, set())


def test_frozen_parameters_are_left_alone():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    (group,) = decay_groups(network, 0.1, "all")
    assert group["params"] == [network.weight]


def test_recipes_build_the_optimisers_of_their_papers():
    network = nn.Conv2d(1, 1, 1)
    ofa = recipe("ofa").optimizer.build(network, lr=2.6)
    assert isinstance(ofa, torch.optim.SGD)
    assert ofa.defaults["nesterov"]
    assert [g["weight_decay"] for g in ofa.param_groups] == [3e-5, 0.0]
    spos = recipe("spos").optimizer.build(network, lr=0.5)
    assert not spos.defaults["nesterov"]
    assert [g["weight_decay"] for g in spos.param_groups] == [4e-5, 0.0]
    autoformer = recipe("autoformer").optimizer.build(network, lr=1e-3)
    assert isinstance(autoformer, torch.optim.AdamW)
    assert [g["weight_decay"] for g in autoformer.param_groups] == [0.05, 0.0]
    assert {g["lr"] for g in autoformer.param_groups} == {1e-3}
    benchmark = recipe("nb201_retrain").optimizer.build(network, lr=0.1)
    assert [g["weight_decay"] for g in benchmark.param_groups] == [5e-4]


@pytest.mark.parametrize("make", [SGD, AdamW])
def test_all_problems_are_told_at_once(make):
    wrong = {SGD: {"momentum": 1.0}, AdamW: {"betas": (0.9, 1.0)}}[make]
    with pytest.raises(ValueError, match="weight_decay must be at least 0") as error:
        make(weight_decay=-1, decay="biases", **wrong)
    assert len(str(error.value).splitlines()) == 3
