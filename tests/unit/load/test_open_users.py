from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ghostcore.load import ConstantArrivalRate, OpenModel, RampingArrivalRate, Share
from ghostcore.load.control import User
from ghostcore.load.open_users import OpenUsers

S = 1_000_000_000


class Desk:
    """A crowd of things that are no users, and a clock."""

    def __init__(self, profile: OpenModel, share: Share | None = None) -> None:
        self.now_ns = 0
        self.on_idle: Callable[[User], None] | None = None
        self.sizes: list[int] = []
        self.crowd = OpenUsers(
            profile,
            self,
            share or Share(),
            lambda: self.now_ns,
            self.sizes.append,
        )

    def user(self, index: int) -> Any:
        return index

    async def idle(self) -> None:
        raise AssertionError("a crowd does not wait")

    def serve(self, count: int, seconds: float) -> None:
        """So many iterations at a time, all of that length."""
        users = [self.crowd.take() for _ in range(count)]
        self.now_ns += round(seconds * S)
        for user in users:
            assert user is not None
            self.crowd.give_back(user)


def test_users_are_needed_as_littles_law_says() -> None:
    desk = Desk(ConstantArrivalRate(100, 10))
    assert desk.crowd.needed(100) == 0
    desk.serve(5, 0.2)
    assert desk.crowd.needed(100) == 20
    assert desk.crowd.needed(1000) == 200
    desk.serve(5, 0.4)
    assert desk.crowd.needed(100) == 30


def test_iterations_that_do_not_end_count_as_soon_as_they_are_longer() -> None:
    desk = Desk(ConstantArrivalRate(100, 10))
    desk.serve(10, 0.1)
    desk.crowd.take()
    desk.now_ns += S // 20
    assert desk.crowd.needed(100) == 10
    desk.now_ns += 2 * S
    assert desk.crowd.needed(100) == 205


def test_users_are_made_a_quarter_ahead_of_need() -> None:
    desk = Desk(ConstantArrivalRate(100, 100))
    desk.crowd.grow(1)
    desk.serve(1, 1)
    assert desk.crowd.ahead_of_need(100) == 124
    desk.crowd.grow(124)
    assert desk.crowd.ahead_of_need(100) == 0
    assert desk.crowd.ahead_of_need(10_000) == 250  # no more at once
    assert desk.sizes == [1, 125]


@pytest.mark.parametrize("on_busy", ["drop", "queue"])
def test_users_are_not_made_ahead_where_their_number_was_given(on_busy: Any) -> None:
    profile = ConstantArrivalRate(100, 100, preallocated_vus=1, max_vus=50, on_busy=on_busy)
    desk = Desk(profile)
    desk.crowd.grow(1)
    desk.serve(1, 1)
    assert desk.crowd.ahead_of_need(100) == 0


@pytest.mark.parametrize(
    ("profile", "share", "first"),
    [
        (ConstantArrivalRate(100, 10), Share(), 10),
        (ConstantArrivalRate(1, 10), Share(), 1),
        (ConstantArrivalRate(100, 10, max_vus=4), Share(), 4),
        (ConstantArrivalRate(100, 10, preallocated_vus=7), Share(), 7),
        (ConstantArrivalRate(100, 10, preallocated_vus=7), Share(2, 3), 2),
        (RampingArrivalRate([(10, 100)]), Share(), 1),
    ],
)
def test_users_at_the_beginning(profile: OpenModel, share: Share, first: int) -> None:
    assert Desk(profile, share).crowd.prepare() == first


def test_users_have_their_number_in_the_whole_plan() -> None:
    desk = Desk(ConstantArrivalRate(100, 10, preallocated_vus=7), Share(1, 3))
    desk.crowd.grow(2)
    numbers: list[Any] = desk.crowd.all
    assert numbers == [1, 4]
    assert desk.crowd.most == 2
