"""One coarse timing wheel for the deadlines of all connections of a server.

A timer per connection would cost 549 bytes and a heap operation at every ping. Here a connection
sits in one slot of a wheel; what it waits for may move to a later time without touching the wheel,
since an item found too early in its slot is put into a later one. Nothing is ever early, and late
by at most one tick.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from ghostcore.errors import UsageError

__all__ = ["DeadlineWheel", "Expiring"]


class Expiring(Protocol):
    """What a wheel can hold."""

    def expire(self, now_s: float) -> float | None:
        """Do what is due at `now_s`; returns when to be asked again, None for never."""


class DeadlineWheel:
    """Calls ``item.expire(now_s)`` when an item's time has come.

    :param tick_s: width of a slot in seconds: how late an item may be, at most.
    """

    def __init__(self, tick_s: float) -> None:
        if not tick_s > 0:
            raise UsageError(f"tick_s is {tick_s}: expected more than 0 seconds")
        self._tick_s = tick_s
        self._slots: dict[int, list[Expiring]] = {}
        self._done = -1  # the last slot that has been emptied

    def schedule(self, item: Expiring, due_s: float) -> None:
        """Ask `item` at `due_s` (on the clock that :meth:`advance` is given). May be repeated."""
        slot = max(math.ceil(due_s / self._tick_s), self._done + 1)
        self._slots.setdefault(slot, []).append(item)

    def advance(self, now_s: float) -> None:
        """Ask every item whose slot lies at or before `now_s`."""
        reached = math.floor(now_s / self._tick_s)
        if len(self._slots) < reached - self._done:  # a long gap: look only at slots in use
            due = sorted(slot for slot in self._slots if slot <= reached)
        else:
            due = [slot for slot in range(self._done + 1, reached + 1) if slot in self._slots]
        self._done = max(self._done, reached)
        for slot in due:
            for item in self._slots.pop(slot):
                again_s = item.expire(now_s)
                if again_s is not None:
                    self.schedule(item, again_s)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))


class Ticker:
    """Advances a wheel to what `clock` says, on the running loop, once a tick, until stopped."""

    def __init__(self, wheel: DeadlineWheel, tick_s: float, clock: Callable[[], float]) -> None:
        self._wheel = wheel
        self._tick_s = tick_s
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(tick_s, self._tick)

    def _tick(self) -> None:
        self._handle = self._loop.call_later(self._tick_s, self._tick)
        self._wheel.advance(self._clock())

    def stop(self) -> None:
        """No more ticks."""
        self._handle.cancel()
