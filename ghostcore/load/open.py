"""The executor of the open models: a pacer that releases starts when they are due, to free users.

A start is due at its own instant, whatever became of those before it; one that the event loop comes
to late is made late, never skipped. Starts that are due together go out in batches, so that sockets
get their turn between them.

A start that finds no free user is dropped at its due time, or waits (``on_busy``). Before a start
is taken for one that found nobody, the loop has had a few passes: an answer that is in a socket
already frees its user first. What a dropped start would have had to wait is known only when a user
is free again: at least so long its response would have taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Unpack

from ghostcore.load.arrivals import Start, Starts
from ghostcore.load.control import START_BATCH, Pool, RunControl, SleepUntil, User, first_of
from ghostcore.load.executor import Executor, ExecutorArgs
from ghostcore.load.model import counted
from ghostcore.load.open_models import OpenModel
from ghostcore.load.open_users import SIZING_NS, OpenUsers
from ghostcore.load.share import ALL, Share

__all__ = ["Shortage", "run_open"]

BUSY_PASSES = 3
"""Passes of the loop from a frame in a socket to its user being free again: the frame is read and
its user woken, the user's task ends, and the task's callback frees the user."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """More users would have made more starts.

    :ivar starts: that were dropped although they were due, with all users that may be made busy.
    :ivar text: how many users the rate would have needed.
    """

    starts: int
    text: str


async def run_open(
    load: OpenModel,
    pool: Pool,
    *,
    sleep_until: SleepUntil,
    now_ns: Callable[[], int],
    start_ns: int,
    seed: int,
    scenario: str,
    on_users: Callable[[int], None],
    dropped: Callable[[int], None],
    cut_off: Callable[[int], None],
    control: RunControl | None = None,
    share: Share = ALL,
) -> Shortage | None:
    """Make the starts of `load` with users of `pool`; return when the last one is idle.

    :param sleep_until: sleeps until an instant of the clock, in ns.
    :param now_ns: the clock.
    :param start_ns: when the load's own time begins (its ``start_time`` included already).
    :param seed: the run's seed.
    :param scenario: the name of the scenario; with the seed the key of Poisson arrivals.
    :param on_users: called with the number of users that exist whenever it changes.
    :param dropped: called with a number of starts that were due and are not made.
    :param cut_off: called for each of them, when a user is free again, with the ns from its due
        time until then; for those that are left over at the end, until then.
    :param control: ends the run before its time. Cancelling this coroutine instead interrupts all
        users at once, waits for them and raises CancelledError.
    :param share: the starts and the users that are driven here.
    :returns: the starts that too few users cost, if there were any.
    """
    part = share.among(load.preallocated_vus or load.peak_vus)
    if part is None:
        return None  # fewer users than workers: others make the starts
    run = _OpenRun(
        load,
        pool,
        OpenUsers(load, pool, part, now_ns, on_users),
        load.starts(seed, scenario, part),
        cut_off,
        sleep_until=sleep_until,
        now_ns=now_ns,
        start_ns=start_ns,
        dropped=dropped,
        control=control,
    )
    pool.on_idle = run.user_idle
    try:
        await run.carry_out()
    finally:
        pool.on_idle = None
    return run.shortage()


class _Drops:
    """Starts that were dropped, kept as spans of the plan, not one by one: the span is walked again
    when it is known how long its starts would have waited."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        # The span since a user was last free: its first start, the plan behind it, its length.
        self._first: Start | None = None
        self._behind: Starts | None = None
        self._count = 0
        self._settled: deque[tuple[Iterator[Start], int]] = deque()

    def add(self, start: Start, behind: Starts) -> None:
        """Take in one more dropped start; `behind` goes on with the start after it."""
        if self._first is None:
            self._first, self._behind = start, behind.copy()
        self._count += 1

    def user_free(self, now_ns: int) -> None:
        """A user is free: all starts dropped since one was would have waited at least until now."""
        if self._first is None:
            return
        assert self._behind is not None
        span = islice(chain((self._first,), self._behind), self._count)
        self._settled.append((span, now_ns))
        self._first = self._behind = None
        self._count = 0

    def settle(self, tell: Callable[[int], None]) -> bool:
        """Report how long each of a batch of dropped starts would have waited, in ns.

        :param tell: called with each wait.
        :returns: whether more are left.
        """
        told = 0
        while self._settled and told < START_BATCH:
            span, free_ns = self._settled[0]
            start = next(span, None)
            if start is None:
                self._settled.popleft()
            else:
                tell(free_ns - self._start_ns - start.due_ns)
                told += 1
        return bool(self._settled)


class _OpenRun(Executor):
    """One execution."""

    def __init__(
        self,
        load: OpenModel,
        pool: Pool,
        crowd: OpenUsers,
        starts: Starts,
        cut_off: Callable[[int], None],
        **setting: Unpack[ExecutorArgs],
    ) -> None:
        super().__init__(load, pool, **setting)
        self._load = load
        self._crowd = crowd
        self._starts = starts
        self._cut_off = cut_off
        self._queues = load.on_busy == "queue"
        self._head: Start | None = None  # neither made nor dropped yet
        self._released = 0
        self._sized_ns = self._start_ns
        self._looked_ns = -1  # when a look at the users last found none free
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._drops = _Drops(self._start_ns)
        self._refused = 0  # dropped since all the users that may be made were busy

    @property
    def _users(self) -> Sequence[User]:
        return self._crowd.all

    def user_idle(self, user: User) -> None:
        """An iteration has ended; called from within the loop."""
        self._crowd.give_back(user)
        self._drops.user_free(self._now_ns())
        self._wake()

    def shortage(self) -> Shortage | None:
        """The starts that were dropped because the number of users was too small."""
        if not self._refused:
            return None
        most = self._crowd.most
        needed = self._crowd.needed(self._load.curve.peak_per_second)
        if needed > most:
            reason = f"by the time that iterations took, the peak of this rate needs about {needed}"
        else:
            reason = f"about {needed} would do on average, so iterations were far slower at times"
        starts = counted(self._refused, "start")
        return Shortage(self._refused, f"{starts} found no free user among {most}; {reason}")

    async def _execute(self) -> None:
        first = self._crowd.prepare()
        while len(self._crowd.all) < first:
            self._crowd.grow(min(START_BATCH, first - len(self._crowd.all)))
            await asyncio.sleep(0)
        await first_of(self._offer(), self._call_time(), self._control.stop_requested.wait())
        # Starts may be due and not made: the run was stopped, or they waited for a user in vain.
        await self._drop_due(min(self._now_ns(), self._end_ns))
        await self._drain(self._sleep_until(self._drain_limit_ns()))
        self._drops.user_free(self._now_ns())
        await self._settle_drops()

    async def _call_time(self) -> None:
        """At the end of the load, wake the start that still waits for a user: it is dropped."""
        await self._sleep_until(self._end_ns)
        self._over = True
        self._wake()
        await asyncio.get_running_loop().create_future()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- until the end of the load --

    async def _offer(self) -> None:
        """Make the starts, each when it is due, until there are no more and the time is up."""
        for start in self._starts:
            self._head = start
            due_ns = self._start_ns + start.due_ns
            if due_ns > self._now_ns():
                await self._rest_until(due_ns)
            user = self._crowd.take() or await self._look_again(due_ns)
            if user is not None:
                user.begin(start.number, due_ns)
            elif self._queues:
                return  # the time is up
            else:
                self._drop(start)
            self._head = None
            self._released += 1
            if self._released >= START_BATCH:
                self._released = 0
                await asyncio.sleep(0)
        await self._rest_until(self._end_ns)

    async def _rest_until(self, due_ns: int) -> None:
        """Sleep, and do before what does not bear on starts."""
        await self._settle_drops(due_ns)
        now_ns = self._now_ns()
        if now_ns - self._sized_ns >= SIZING_NS:
            self._sized_ns = now_ns
            self._crowd.grow(self._crowd.ahead_of_need(self._rate_at(now_ns)))
        self._released = 0
        await self._sleep_until(due_ns)

    def _rate_at(self, now_ns: int) -> float:
        """Starts per second, now or in a second, whichever is more."""
        at_ns = now_ns - self._start_ns
        curve = self._load.curve
        return max(curve.per_second_at(at_ns), curve.per_second_at(at_ns + 1_000_000_000))

    async def _look_again(self, due_ns: int) -> User | None:
        """No user is free: give the loop the passes in which answers that are there free their
        users; then, if starts queue, wait for a user."""
        if due_ns > self._looked_ns:
            for _ in range(BUSY_PASSES):
                await asyncio.sleep(0)
                if (user := self._crowd.take()) is not None:
                    return user
            self._looked_ns = self._now_ns()
        if not self._queues:
            return None
        while (user := self._crowd.take()) is None and not self._over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return user

    # -- starts that are not made --

    def _drop(self, start: Start) -> None:
        self._dropped(1)
        self._drops.add(start, self._starts)
        if len(self._crowd.all) == self._crowd.most:
            self._refused += 1
        else:
            # As k6 does it: one more user for the starts to come.
            self._crowd.grow(1)
            self._drops.user_free(self._now_ns())

    async def _drop_due(self, limit_ns: int) -> None:
        """Drop what is due by then and was not made."""
        rest = chain(() if self._head is None else (self._head,), self._starts)
        for dropped, start in enumerate(rest, 1):
            if self._start_ns + start.due_ns > limit_ns:
                break
            self._dropped(1)
            self._drops.add(start, self._starts)
            self._refused += self._queues and len(self._crowd.all) == self._crowd.most
            if dropped % START_BATCH == 0:
                await asyncio.sleep(0)
        if self._queues:
            self._drops.user_free(self._now_ns())

    async def _settle_drops(self, until_ns: int | None = None) -> None:
        """Tell the waits that are known, in batches, but not beyond that time."""
        while self._drops.settle(self._cut_off):
            await asyncio.sleep(0)
            if until_ns is not None and self._now_ns() >= until_ns:
                break
