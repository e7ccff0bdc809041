"""What batch norms see: micro-batches in training, and everything at the end of one network's."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from collm_nas.spaces.stand_alone import Alone, OneNetwork
from collm_nas.spaces.supernet import build_supernet
from collm_nas.training.loader import StepBatches
from collm_nas.training.module import SupernetTraining
from collm_nas.training.recipe import Phase
from collm_nas.training.sampling import Fixed, Uniform
from tests.training.recipes import recipe, searchspace

TINY = ["searchspace.repeats=[1,1]", "searchspace.channels=[4,8,16,32]"]
SPACE = searchspace("shufflenet_tiny", *TINY)
PHASE = Phase("all", lr=0.1, steps=10, sampling=Uniform(choices={"ops": [0]}))
PLAIN = replace(recipe("digits"), clip_norm=None)


def module(network: nn.Module, phase: Phase = PHASE, **changes) -> SupernetTraining:
    made = SupernetTraining(network, SPACE, replace(PLAIN, **changes), phase, 10, 0, 5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    made.optimizers = lambda: optimizer
    made.manual_backward = lambda loss: loss.backward()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return made.train()


def step_images(seed: int = 0, count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 32, 32, 3), generator=rng, dtype=torch.uint8)
    return pixels, torch.arange(count) % 10


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_supernet(SPACE)


def test_batch_norms_normalise_with_a_micro_batch_and_gradients_are_those_of_the_mean():
    """By hand: every second image in one pass, the others in another, half of the loss each."""
    ours, by_hand = network(), network()
    step = module(ours, micro_batch=4, batch_size=8)
    pixels, labels = step_images()
    losses = step.training_step((pixels, labels), 0)["losses"]
    arch = step.subnets(0)[0]
    for part in by_hand.train().modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    halves = []
    for first in (0, 1):
        images = step.pixels.apply(pixels[first::2].permute(0, 3, 1, 2))
        halves.append(PLAIN.loss(by_hand(images, arch), labels[first::2]))
    (sum(halves) / 2).backward()
    assert losses.item() == pytest.approx(sum(halves).item() / 2, rel=1e-5)
    for name, weight in by_hand.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(ours.get_parameter(name).grad, weight.grad, msg=name)


def test_without_micro_batches_the_whole_share_goes_through_at_once():
    whole, as_one = (module(network(), micro_batch=m) for m in (None, 8))
    batch = step_images()
    for made in (whole, as_one):
        made.training_step(batch, 0)
    for one, other in zip(whole.network.parameters(), as_one.network.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_micro_batches_hold_the_same_images_on_any_number_of_processes(world):
    """Their numbers, too, by which dropout and mixup are drawn."""
    found = {}
    for rank in range(world):
        order = StepBatches(50, 16, lambda step: 32, 0, range(3), 1, rank, world, micro_batch=4)
        images = [item.image for item in order.at(1)]
        count = len(images) // 4
        found |= {rank + i * world: images[i::count] for i in range(count)}
    alone = [item.image for item in StepBatches(50, 16, lambda step: 32, 0, range(3)).at(1)]
    assert found == {number: alone[number::4] for number in range(4)}


@pytest.mark.parametrize(("world", "fits"), [(1, True), (4, True), (8, False), (16, False)])
def test_a_process_that_would_get_less_than_a_micro_batch_is_refused(world, fits):
    if fits:
        StepBatches(50, 16, lambda step: 32, 0, range(3), 1, 0, world, micro_batch=4)
    else:
        with pytest.raises(ValueError, match=r"no micro-batches of 4 .* that divides 4, or change"):
            StepBatches(50, 16, lambda step: 32, 0, range(3), 1, 0, world, micro_batch=4)


def test_statistics_become_the_means_over_all_batches_and_no_weight_moves():
    """SPOS: momentum 1/i in step i, the mean over batches of their means and unbiased variances."""
    one = OneNetwork(SPACE, SPACE.sample(random.Random(0)))
    torch.manual_seed(1)
    alone = Alone(one)
    phase = Phase("s", steps=3, sampling=Fixed(one.arch), statistics_only=True)
    made = module(alone, phase, micro_batch=4, batch_size=8)
    stem = alone.network.first_conv[1]
    stem.running_mean.fill_(7.0)  # what training left
    weights = [p.clone() for p in alone.parameters()]
    made.on_fit_start()
    seen: list[torch.Tensor] = []
    stem.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach().clone()))
    for step in range(3):
        result = made.training_step(step_images(step), step)
        assert result["losses"].isfinite().all()
    made.on_fit_end()
    assert len(seen) == 6
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen]).mean(0)
    torch.testing.assert_close(stem.running_mean, means, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stem.running_var, variances, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(p, w) for p, w in zip(alone.parameters(), weights, strict=True))
    assert all(p.grad is None for p in alone.parameters())
    assert stem.momentum == 0.1
