"""What the users of a run share is found by them, and by nobody else."""

from __future__ import annotations

from typing import Any

from ghost_greeter.shared import Shared
from ghostcore import VU


class User:
    """Stands for a user of a run: all that is asked of it is its data."""

    def __init__(self, data: Any) -> None:
        self.data = data


def user(data: Any) -> VU:
    found: Any = User(data)
    return found  # type: ignore[no-any-return]


def test_users_of_the_run_find_it_until_it_is_withdrawn() -> None:
    boards: Shared[list[int]] = Shared("board")
    first: list[int] = []
    second: list[int] = []
    of_first, of_second = boards.offer(first), boards.offer(second)
    assert boards.find(user(of_first)) is first
    assert boards.find(user({**of_second, "other": "x"})) is second, "equal, but another one"
    boards.withdraw(first)
    boards.withdraw(first)
    assert boards.find(user(of_first)) is None
    assert boards.find(user(of_second)) is second


def test_kinds_do_not_mix() -> None:
    boards: Shared[str] = Shared("board")
    censuses: Shared[str] = Shared("census")
    data = boards.offer("board") | censuses.offer("census")
    assert (boards.find(user(data)), censuses.find(user(data))) == ("board", "census")


def test_a_run_without_one() -> None:
    boards: Shared[str] = Shared("board")
    boards.offer("another run's")
    several: list[object] = [None, [], "board", {}, {"board": "unknown"}, {"board": 3}]
    for data in several:
        assert boards.find(user(data)) is None
