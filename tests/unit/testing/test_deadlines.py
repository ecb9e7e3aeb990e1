from __future__ import annotations

import pytest

from ghostcore.errors import UsageError
from ghostcore.testing._deadlines import DeadlineWheel


class Item:
    def __init__(self, wheel: DeadlineWheel, due_s: float, *again_s: float) -> None:
        self.due_s = due_s
        self.again_s = list(again_s)
        self.asked_s: list[float] = []
        wheel.schedule(self, due_s)

    def expire(self, now_s: float) -> float | None:
        self.asked_s.append(now_s)
        if now_s < self.due_s:
            return self.due_s
        return self.again_s.pop(0) if self.again_s else None


def run(wheel: DeadlineWheel, until_s: float, step_s: float = 0.25, start_s: float = 0.0) -> None:
    now_s = start_s
    while now_s <= until_s:
        wheel.advance(now_s)
        now_s += step_s


def test_never_early_and_late_by_less_than_a_tick_and_a_step() -> None:
    wheel = DeadlineWheel(0.5)
    items = [Item(wheel, due / 100) for due in range(0, 1000, 7)]
    run(wheel, 12)
    assert len(wheel) == 0
    for item in items:
        (asked_s,) = item.asked_s
        assert item.due_s <= asked_s < item.due_s + 0.5 + 0.25


def test_a_deadline_that_moved_later_is_asked_again_then() -> None:
    wheel = DeadlineWheel(1)
    item = Item(wheel, 2)
    item.due_s = 5.5
    run(wheel, 5.75)
    assert item.asked_s == [2]
    run(wheel, 8, start_s=6)
    assert item.asked_s == [2, 6]
    assert len(wheel) == 0


def test_an_item_that_returns_a_time_stays() -> None:
    wheel = DeadlineWheel(1)
    item = Item(wheel, 1, 3, 7)
    run(wheel, 20, step_s=1)
    assert item.asked_s == [1, 3, 7]


def test_what_is_due_already_waits_for_the_next_slot_not_for_ever() -> None:
    wheel = DeadlineWheel(1)
    wheel.advance(100)
    late = Item(wheel, 5)
    wheel.advance(100.5)
    assert late.asked_s == []
    wheel.advance(101)
    assert late.asked_s == [101]


def test_a_jump_over_many_slots_keeps_the_order() -> None:
    wheel = DeadlineWheel(0.001)
    order: list[float] = []

    class Noting:
        def __init__(self, due_s: float) -> None:
            self.due_s = due_s

        def expire(self, now_s: float) -> float | None:
            order.append(self.due_s)
            return None

    for due_s in (30.0, 5.0, 17.0, 100_000.0):
        wheel.schedule(Noting(due_s), due_s)
    wheel.advance(50_000)
    assert order == [5.0, 17.0, 30.0]
    assert len(wheel) == 1


def test_a_clock_that_stands_still_does_nothing() -> None:
    wheel = DeadlineWheel(1)
    item = Item(wheel, 10)
    for _ in range(3):
        wheel.advance(9)
    assert item.asked_s == []


def test_a_tick_has_a_width() -> None:
    with pytest.raises(UsageError, match="tick_s is 0"):
        DeadlineWheel(0)
