"""The ticks of ``vu.every()``, each with its due time.

A loop that is paced makes a promise: an operation every so often. Where the server stalls, ticks
are late or never begin; the response time of their operations counts from when they were due, and
that of those that never began is at least what they had waited when the loop ended.
"""

from __future__ import annotations

from typing import Any, Protocol

from ghostcore.loop.timers import TimerQueue

__all__ = ["Pace", "Ticks"]


class Pace:
    """The position of a vu.every() loop. It outlives the loop's iterator: missed ticks are counted
    when the iteration ends.

    :ivar period_ns: from one tick to the next.
    :ivar due_ns: when the current tick was due.
    :ivar next_ns: when the next tick is due.
    :ivar metrics: the metrics of the operation that the latest tick began with.
    :ivar claimed: whether the current tick has begun with an operation.
    :ivar left_ns: when the loop was left, 0 if it was not.
    :ivar outer: the loop around it.
    """

    __slots__ = ("claimed", "due_ns", "left_ns", "metrics", "next_ns", "outer", "period_ns")

    def __init__(self, period_ns: int, start_ns: int, outer: Pace | None) -> None:
        self.period_ns = period_ns
        self.due_ns = self.next_ns = start_ns
        self.outer = outer
        self.metrics: tuple[Any, ...] = ()
        self.claimed = False
        self.left_ns = 0

    def lateness_of(self, at_ns: int, metrics: tuple[Any, ...]) -> int:
        """By how many ns an operation that begins now is later than the tick was due; -1 if the
        tick has already begun with another operation."""
        if self.claimed:
            return -1
        self.claimed = True
        self.metrics = metrics
        return at_ns - self.due_ns

    def missed_ticks(self, now_ns: int) -> tuple[int, int]:
        """How long the first tick that was due and not begun has waited, and how many there are."""
        waited_ns = (self.left_ns or now_ns) - self.next_ns
        return (waited_ns, waited_ns // self.period_ns + 1) if waited_ns >= 0 else (0, 0)


class DueHolder(Protocol):
    """The user, which knows what is due."""

    due: int | Pace | None


class Ticks:
    """What ``vu.every()`` returns: an asynchronous iterator of tick numbers."""

    __slots__ = ("_holder", "_pace", "_period_ns", "_tick", "_timers")

    def __init__(self, holder: DueHolder, timers: TimerQueue, period_ns: int) -> None:
        self._holder = holder
        self._timers = timers
        self._period_ns = period_ns
        self._pace: Pace | None = None
        self._tick = -1

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> int:
        pace, holder = self._pace, self._holder
        if pace is None:
            before = holder.due
            outer = before if isinstance(before, Pace) else None
            pace = self._pace = Pace(self._period_ns, self._timers.now_ns(), outer)
            if outer is not None or before is None:
                holder.due = pace
            # else: the iteration itself was due, earlier than this.
        else:
            await self._timers.sleep_until(pace.next_ns)
            holder.due = pace
        pace.due_ns = pace.next_ns
        pace.next_ns += self._period_ns
        pace.claimed = False
        self._tick += 1
        return self._tick

    def __del__(self) -> None:
        if self._pace is not None:
            self._pace.left_ns = self._timers.now_ns()
