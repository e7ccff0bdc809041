"""One step of a width phase, against the modules of the original package in its training loop."""

import random
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import OFASupernet
from collm_nas.training.module import SupernetTraining, Teacher
from collm_nas.training.reference_subnets import largest
from collm_nas.training.sampling import Uniform
from tests.training.recipes import recipe

pytest.importorskip("ofa", reason="the package ofa is not installed")
LR = 0.01


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def original(supernet: OFASupernet) -> nn.Module:
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    net = OFAMobileNetV3(
        width_mult=supernet.space.skeleton.width,
        dropout_rate=0,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    net.load_state_dict(supernet.state_dict())
    return net.train()


def original_step(net, teacher, space, subnets, images, labels) -> torch.Tensor:
    """Two losses a subnet, gradients added up, SGD whose decay spares norms and biases."""
    from ofa.utils import build_optimizer, cross_entropy_loss_with_soft_target
    from ofa.utils import cross_entropy_with_label_smoothing as smoothed

    groups = [list(net.get_parameters(["bn", "bias"], mode=m)) for m in ("exclude", "include")]
    nesterov = {"momentum": 0.9, "nesterov": True}
    optimizer = build_optimizer(groups, "sgd", nesterov, LR, 3e-5, "bn#bias")
    for parameter in net.parameters():  # zero gradients are not None there
        parameter.grad = torch.zeros_like(parameter)
    teacher.set_max_net()
    with torch.no_grad():
        soft_labels = teacher(images).softmax(1)
    losses = []
    for arch in subnets:
        genes = space.full_genes(arch, random.Random(0))
        net.set_active_subnet(ks=genes["ks"], e=genes["e"], d=genes["d"])
        logits = net(images)
        loss = cross_entropy_loss_with_soft_target(logits, soft_labels)
        loss = loss + smoothed(logits, labels, 0.1)
        loss.backward()
        losses.append(loss.detach())
    optimizer.step()
    return torch.stack(losses)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_a_width_step_changes_the_weights_as_the_original_does(double_precision):
    torch.manual_seed(0)
    supernet = OFASupernet(MobileNet(width=1.0))
    supernet.classifier.dropout.p = 0.0
    net, their_teacher = original(supernet), original(supernet)
    few = "recipe.micro_batch=null"  # all images of the step at a time
    ofa = recipe("ofa", "recipe.batch_size=64", few)  # so that the phase's lr is not scaled
    phase = replace(ofa.phases[-1], lr=LR, sampling=Uniform(2), warmup_epochs=0)
    teacher = Teacher(deepcopy(supernet), largest(supernet.space, {}))
    module = SupernetTraining(supernet, supernet.space, ofa, phase, 1000, 0, 5, 0, teacher)
    module.manual_backward = lambda loss: loss.backward()
    optimizer = module.configure_optimizers()
    module.optimizers = lambda: optimizer
    module.on_fit_start()
    supernet.train()
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 500, 999])
    module._prepared = lambda batch, step, number: batch

    before = deepcopy(supernet.state_dict())
    out = module.training_step((images, labels), 0)
    losses = original_step(net, their_teacher, supernet.space, out["subnets"], images, labels)

    assert out["lr"] == LR
    torch.testing.assert_close(out["losses"], losses, rtol=1e-12, atol=0)
    theirs = net.state_dict()
    for name, tensor in supernet.state_dict().items():
        change = (theirs[name] - before[name]).abs().max()
        # relative, because torch computes the slope of h-sigmoid in single precision
        assert (tensor - theirs[name]).abs().max() <= 1e-6 * change + 1e-12, name
    kept = [n for n, p in supernet.named_parameters() if torch.equal(p, before[n])]
    assert kept, "the subnets use every layer: choose another seed"
    assert all("bn" in name or "bias" in name for name in kept)  # what is not used decays
