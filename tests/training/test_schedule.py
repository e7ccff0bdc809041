import math
from types import SimpleNamespace

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from collm_nas.training.schedule import Cosine, EpochCosine, Horizon, Linear
from tests.conftest import load
from tests.training.recipes import recipe


def horizon(steps, warmup=0, per_epoch=10, lr=1.0, unscaled=0.25):
    return Horizon(steps, warmup, per_epoch, lr, unscaled)


def test_a_cosine_starts_at_the_peak_and_would_reach_the_floor_after_the_last_step():
    h = horizon(steps=100, lr=0.4)
    schedule = Cosine(floor=0.2)
    assert schedule.lr(0, h) == 0.4
    assert schedule.lr(50, h) == pytest.approx(0.3)
    assert schedule.lr(25, h) == pytest.approx(0.2 + 0.1 * (1 + math.sqrt(0.5)))
    assert schedule.lr(100, h) == pytest.approx(0.2)


def test_the_warm_up_grows_linearly_and_ends_at_the_peak():
    h = horizon(steps=100, warmup=4, lr=0.8)
    rates = [Cosine(warmup_from=0.0).lr(step, h) for step in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert Linear(warmup_from=0.4).lr(0, h) == pytest.approx(0.5)


def test_without_a_start_the_warm_up_begins_at_the_rate_of_one_gpu():
    h = horizon(steps=100, warmup=3, lr=1.0, unscaled=0.25)
    assert [Cosine(warmup_from=None).lr(s, h) for s in range(3)] == pytest.approx([0.5, 0.75, 1.0])


def test_a_line_falls_to_zero():
    h = horizon(steps=150_000, lr=0.5)
    rates = [Linear().lr(step, h) for step in (0, 75_000, 149_999, 150_000)]
    assert rates == pytest.approx([0.5, 0.25, 0.5 / 150_000, 0.0])


def test_once_for_all_is_scheduled_as_by_its_own_code():
    pytest.importorskip("ofa", reason="the package ofa is not installed")
    from ofa.imagenet_classification.run_manager.run_config import RunConfig
    from ofa.utils import calc_learning_rate

    ofa, per_epoch = recipe("ofa"), 625
    phase = next(phase for phase in ofa.phases if phase.name == "kernel")
    config = SimpleNamespace(init_lr=0.96)
    nothing = SimpleNamespace(param_groups=[])
    for epoch, batch in ((0, 0), (0, 624), (2, 17), (4, 624), (5, 0), (60, 311), (124, 624)):
        if epoch < 5:
            expected = RunConfig.warmup_adjust_learning_rate(
                config, nothing, 5 * per_epoch, per_epoch, epoch, batch, 0.03
            )
        else:
            expected = calc_learning_rate(epoch - 5, 0.96, 120, batch, per_epoch)
        ours = ofa.learning_rate(phase, epoch * per_epoch + batch, per_epoch)
        assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("late", [True, False])
def test_autoformer_is_scheduled_as_by_timm(late):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1e-3)
    theirs = CosineLRScheduler(
        optimizer, t_initial=50, lr_min=1e-5, warmup_t=20, warmup_lr_init=1e-6
    )
    expected = [optimizer.param_groups[0]["lr"]]
    for epoch in range(49):
        theirs.step(epoch if late else epoch + 1)  # their loop passes the epoch that has ended
        expected.append(optimizer.param_groups[0]["lr"])
    h = horizon(steps=500, warmup=200, per_epoch=10, lr=1e-3)
    ours = [EpochCosine(late=late).lr(10 * epoch + 7, h) for epoch in range(50)]
    assert ours == pytest.approx(expected, rel=1e-9)


def test_learning_rates_scale_with_the_batch_where_the_recipe_says_for_how_many_they_are():
    full = recipe("ofa").phases[0]
    assert recipe("ofa").learning_rate(full, 0, 625) == pytest.approx(2.6)
    small = recipe("ofa", "recipe.batch_size=128")
    assert small.learning_rate(full, 0, 625) == pytest.approx(2 * 0.08125)
    spos = recipe("spos", "recipe.batch_size=128")
    assert spos.learning_rate(spos.phases[0], 0, 1251) == 0.5


def test_the_rate_of_autoformer_peaks_at_one_thousandth():
    autoformer = recipe("autoformer")
    phase = autoformer.phases[0]
    rates = [autoformer.learning_rate(phase, 1251 * epoch, 1251) for epoch in range(500)]
    assert rates[0] == rates[1] == 1e-6
    assert max(rates) == rates[21] == pytest.approx(1e-3, rel=0.01)
    assert load("search", "recipe=autoformer").recipe.phases[0].lr == 5e-4
