"""The users of an open model: who is free, how many there are, and how many there should be."""

from __future__ import annotations

import math
from collections.abc import Callable

from ghostcore.load.control import START_BATCH, Pool, User
from ghostcore.load.open_models import OpenModel
from ghostcore.load.share import Share

__all__ = ["SIZING_NS", "OpenUsers"]

SIZING_NS = 100_000_000
"""How often users are made ahead of need; and how much of the plan they are made for at first."""

HEADROOM = 1.25
"""Users made ahead of need, against the mean that Little's law gives: iteration times vary."""


class OpenUsers:
    """Users are made as ``preallocated_vus`` says, or as Little's law does.

    Little's law: as many are busy on average as starts come in the time that an iteration takes
    (J. D. C. Little, "A proof for the queuing formula L = lambda W", 1961). That time is the mean
    of the iterations that have ended, or of those under way so far, if that is longer: a server
    that answers nobody any more is seen at once.
    """

    def __init__(
        self,
        load: OpenModel,
        pool: Pool,
        share: Share,
        now_ns: Callable[[], int],
        on_users: Callable[[int], None],
    ) -> None:
        self._load = load
        self._pool = pool
        self._share = share
        self._now_ns = now_ns
        self._on_users = on_users
        self.most = share.count(load.peak_vus)
        # k6 makes a user only when a start was dropped for want of one.
        self.grows_at_need = load.is_sized or load.on_busy == "queue"
        self.all: list[User] = []
        self.free: list[User] = []
        self._began: dict[User, int] = {}
        self._began_sum_ns = 0
        self._ended = 0
        self._took_sum_ns = 0

    def prepare(self) -> int:
        """How many users there should be when the load begins."""
        preallocated = self._load.preallocated_vus
        if preallocated is not None:
            return self._share.count(preallocated)
        soon = math.ceil(self._load.curve.area_at(SIZING_NS) / self._load.curve.scale)
        return min(self.most, max(1, self._share.count(soon)))

    def grow(self, count: int) -> None:
        """Make that many more users, free ones."""
        for _ in range(count):
            user = self._pool.user(self._share.number(len(self.all)))
            self.all.append(user)
            self.free.append(user)
        if count:
            self._on_users(len(self.all))

    def take(self) -> User | None:
        """A free user for a start; None if there is none."""
        if not self.free:
            if not self.grows_at_need or len(self.all) >= self.most:
                return None
            self.grow(1)
        user = self.free.pop()
        now_ns = self._began[user] = self._now_ns()
        self._began_sum_ns += now_ns
        return user

    def give_back(self, user: User) -> None:
        """An iteration has ended."""
        began_ns = self._began.pop(user)
        self._began_sum_ns -= began_ns
        self._took_sum_ns += self._now_ns() - began_ns
        self._ended += 1
        self.free.append(user)

    def needed(self, per_second: float) -> int:
        """How many users carry that rate of starts (of all workers), by Little's law."""
        busy = len(self._began)
        mean_ns = max(
            self._took_sum_ns / self._ended if self._ended else 0,
            self._now_ns() - self._began_sum_ns / busy if busy else 0,
        )
        return math.ceil(per_second / self._share.of * mean_ns / 1e9)

    def ahead_of_need(self, per_second: float) -> int:
        """How many more users to make now, if users are made ahead of need."""
        if not self._load.is_sized:
            return 0
        wanted = math.ceil(self.needed(per_second) * HEADROOM)
        return max(0, min(wanted, self.most, len(self.all) + START_BATCH) - len(self.all))
