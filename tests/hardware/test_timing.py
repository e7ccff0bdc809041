"""Timing: in turn, long enough, and by the median."""

from __future__ import annotations

import pytest

from collm_nas.hardware import timing
from collm_nas.hardware.timing import Repetitions, time_calls


class Clock:
    """Time that passes only when a call says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def call(self, name: str, *seconds: float):
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_one_slow_moment_does_not_move_the_median(clock):
    call = clock.call("a", 0.001, 0.001, 0.001, 0.5, 0.001)  # warm-up, count, then samples
    (found,) = time_calls([call], Repetitions(warmup=1, repeats=5, minimum_ms=0))
    assert found.median_ms == pytest.approx(1.0)
    assert found.iqr_ms == pytest.approx(0.0)
    assert found.samples == 5


def test_the_spread_is_that_between_the_quartiles(clock):
    call = clock.call("a", 0.001, 0.001, 0.002, 0.003, 0.004, 0.005)
    (found,) = time_calls([call], Repetitions(warmup=0, repeats=5, minimum_ms=0))
    assert (found.median_ms, found.iqr_ms) == pytest.approx((3.0, 2.0))


def test_a_sample_lasts_as_long_as_it_must(clock):
    (found,) = time_calls([clock.call("a", 0.001)], Repetitions(warmup=0, repeats=2, minimum_ms=8))
    assert len(clock.log) == 1 + 2 * 8
    assert found.median_ms == pytest.approx(1.0)


def test_samples_are_taken_in_turn(clock):
    time_calls([clock.call("a", 1.0), clock.call("b", 1.0)], Repetitions(0, 3, 0))
    assert "".join(clock.log) == "ab" + "ababab"


def test_all_wrong_numbers_are_told():
    with pytest.raises(ValueError, match=r": warmup .*\n.*: repeats must be at least 2, got 1"):
        Repetitions(warmup=-1, repeats=1, minimum_ms=0)
