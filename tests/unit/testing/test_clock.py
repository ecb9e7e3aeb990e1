from __future__ import annotations

import time

import pytest

from ghostcore.errors import UsageError
from ghostcore.testing.clock import Clock, FakeClock


def test_the_clock_is_the_monotonic_one() -> None:
    clock = Clock()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    now = clock.now_ns()
    assert before <= now <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_a_fake_clock_moves_when_it_is_told_to() -> None:
    clock = FakeClock(5)
    assert isinstance(clock, Clock)
    assert (clock.now_ns(), clock.now_ns()) == (5, 5)
    clock.advance(0.1)
    assert clock.now_ns() == 100_000_005
    clock.advance(0)
    clock.advance_to(200_000_000)
    assert clock.now_ns() == 200_000_000


def test_a_fake_clock_never_goes_back() -> None:
    clock = FakeClock(5)
    with pytest.raises(UsageError, match="cannot go back from 5 ns to 4 ns"):
        clock.advance_to(4)
    with pytest.raises(UsageError, match="cannot go back"):
        clock.advance(-1)
    assert clock.now_ns() == 5
