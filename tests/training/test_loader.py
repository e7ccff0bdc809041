"""The stream of training images: a function of the seed, shared by all processes."""

from itertools import chain

import pytest

from collm_nas.training.loader import StepBatches


def stream(rank: int = 0, world: int = 1, steps: range = range(6), **settings) -> StepBatches:
    chosen = {"images": 20, "batch": 8, "size": lambda step: 32 + step, "seed": 3, **settings}
    return StepBatches(**chosen, steps=steps, rank=rank, world=world)


def test_an_epoch_shows_every_image_once_and_every_batch_is_full():
    items = list(chain.from_iterable(stream()))
    assert [len(batch) for batch in stream()] == [8] * 6
    assert sorted(item.image for item in items[:20]) == list(range(20))
    assert sorted(item.image for item in items[20:40]) == list(range(20))
    assert [i.image for i in items[:20]] != [i.image for i in items[20:40]]


def test_it_continues_at_any_step():
    assert list(stream(steps=range(4, 6))) == list(stream())[4:]


def test_a_batch_has_one_size():
    assert [{item.size for item in batch} for batch in stream()] == [{32 + s} for s in range(6)]


def test_processes_share_the_batch_of_one_process():
    whole = list(stream())
    shares = [list(stream(rank=rank, world=2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert sorted(chain(shares[0][step], shares[1][step])) == sorted(batch)


def test_repeated_views_of_an_image_follow_each_other_with_draws_of_their_own():
    items = list(chain.from_iterable(stream(repeats=2)))
    assert [i.image for i in items[:20:2]] == [i.image for i in items[1:20:2]]
    assert len({item.position for item in items}) == len(items)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"batch_size must be a multiple of the 3 processes"):
        stream(world=3)
