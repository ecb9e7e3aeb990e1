"""The executor of the closed models: a planned number of users, each iterating on its own.

The rules are those of k6's executors. A step up starts slots from the lowest that is free, a step
down stops them from the highest. A user that is stopped finishes its iteration, for at most
``graceful_ramp_down``, then it is interrupted; if its slot is wanted again before, it just goes on.
At the end of the load all users have ``graceful_stop`` to finish, which cuts a longer ramp-down
short. Deadlines count from the planned instant, not from when the event loop came to it. Users who
are controlled from outside step up and down by the same rules, when the run's control says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Unpack

from ghostcore.load.control import (
    START_BATCH,
    Pool,
    RunControl,
    SharedStarts,
    SleepUntil,
    User,
    VuControl,
    first_of,
)
from ghostcore.load.executor import Executor, ExecutorArgs
from ghostcore.load.model import ClosedModel
from ghostcore.load.share import ALL, Share

__all__ = ["run_closed"]


async def run_closed(
    load: ClosedModel,
    pool: Pool,
    *,
    sleep_until: SleepUntil,
    now_ns: Callable[[], int],
    start_ns: int,
    on_planned: Callable[[int], None],
    dropped: Callable[[int], None],
    control: RunControl | None = None,
    vu_control: VuControl | None = None,
    share: Share = ALL,
) -> None:
    """Drive the users of `pool` through `load`; return when the last one is idle.

    :param sleep_until: sleeps until an instant of the clock, in ns.
    :param now_ns: the clock.
    :param start_ns: when the load's own time begins (its ``start_time`` included already).
    :param on_planned: called with the planned number of users whenever it changes.
    :param dropped: called with a number of iterations that will not be started, because
        ``max_duration`` came first: once for each user concerned. A run that is stopped drops none.
    :param control: ends the run before its time. Cancelling this coroutine instead interrupts all
        users at once, waits for them and raises CancelledError.
    :param vu_control: says how many users are to run, instead of the steps of the load.
    :param share: the users, and the shared iterations, that are driven here.
    """
    run = _ClosedRun(
        load,
        pool,
        on_planned,
        vu_control,
        share,
        sleep_until=sleep_until,
        now_ns=now_ns,
        start_ns=start_ns,
        dropped=dropped,
        control=control,
    )
    await run.carry_out()


class _ClosedRun(Executor):
    """One execution. Slots 0 to ``planned - 1`` are wanted, all others of ``users`` are not."""

    def __init__(
        self,
        load: ClosedModel,
        pool: Pool,
        on_planned: Callable[[int], None],
        vu_control: VuControl | None,
        share: Share,
        **setting: Unpack[ExecutorArgs],
    ) -> None:
        super().__init__(load, pool, **setting)
        self._load = load
        self._on_planned = on_planned
        self._ramp_down_ns = load.graceful_ramp_down_ns
        self._budget = load.iterations_per_user
        self._shared = _shared_starts(load, share)
        self._vu_control = vu_control
        self._share = share
        self._planned = 0
        self._announced: int | None = None
        self._made: list[User] = []
        self._done_before: list[int] = []
        self._dropped_of: dict[int, int] = {}
        self._released = 0
        # When the slots that were ramped down are to be interrupted. The queue is in order of time,
        # since removals are; an entry counts only while the slot still has that deadline.
        self._deadlines: deque[tuple[int, int]] = deque()
        self._deadline_of: dict[int, int] = {}

    @property
    def _users(self) -> Sequence[User]:
        return self._made

    async def _execute(self) -> None:
        stop = self._control.stop_requested
        await first_of(self._offer(), stop.wait())
        in_time = not stop.is_set()
        self._announce(0)
        if in_time:
            self._drop_unstarted()
        for user in self._made:
            user.request_stop()
        await self._drain(self._enforce_all(self._drain_limit_ns()))
        if in_time:
            # Again: a user may have stood between two iterations when the time was up.
            self._drop_unstarted()

    # -- until the end of the load --

    async def _offer(self) -> None:
        """Follow the steps, and the deadlines of those ramped down, to the end of the load."""
        if self._vu_control is not None:
            await self._wait_until(self._start_ns)
            await first_of(self._follow(self._vu_control), self._sleep_until(self._end_ns))
            return
        for step in self._load.steps():
            due_ns = self._start_ns + step.at_ns
            # A ramp comes through here for each of its users.
            if self._deadlines:
                await self._enforce_before(due_ns)
            if self._now_ns() < due_ns:
                self._released = 0
                await self._sleep_until(due_ns)
            vus = self._share.count(step.vus)
            # A user that starts at the very end has no time left to run.
            if vus >= self._planned and due_ns >= self._end_ns:
                continue
            if vus == self._planned + 1 and self._released < START_BATCH - 1:
                self._announce(vus)
                self._add()
            else:
                await self._move_to(vus, due_ns)
        if self._budget is None and self._shared is None:
            await self._enforce_before(self._end_ns)
            await self._wait_until(self._end_ns)
        else:
            await first_of(self._sleep_until(self._end_ns), self._pool.idle())

    async def _follow(self, vu_control: VuControl) -> None:
        """Have as many users as the control says, until cancelled at the end of the load."""
        while True:
            vu_control.changed.clear()
            await self._move_to(self._share.count(vu_control.wanted), self._now_ns())
            await first_of(self._enforce_on(), vu_control.changed.wait())

    async def _enforce_on(self) -> None:
        await self._enforce_before(self._end_ns)
        await self._sleep_until(self._end_ns)

    async def _wait_until(self, due_ns: int) -> None:
        if self._now_ns() < due_ns:
            self._released = 0
            await self._sleep_until(due_ns)

    async def _move_to(self, vus: int, due_ns: int) -> None:
        self._announce(vus)
        while self._planned > vus:
            self._planned -= 1
            self._remove(self._planned, due_ns + self._ramp_down_ns)
        while self._planned < vus:
            self._add()
            if self._released >= START_BATCH:
                self._released = 0
                await asyncio.sleep(0)

    def _announce(self, vus: int) -> None:
        if vus != self._announced:
            self._announced = vus
            self._on_planned(vus)

    def _add(self) -> None:
        """Start one user more."""
        index = self._planned
        if self._deadline_of:
            self._deadline_of.pop(index, None)
        if index == len(self._made):
            user = self._pool.user(self._share.number(index))
            self._made.append(user)
            self._done_before.append(user.iterations_done)
        else:
            user = self._made[index]
        if user.running:
            user.resume()
        else:
            user.start(self._budget, self._shared)
        self._planned += 1
        self._released += 1

    def _remove(self, index: int, deadline_ns: int) -> None:
        user = self._made[index]
        if user.running:
            user.request_stop()
            self._deadlines.append((deadline_ns, index))
            self._deadline_of[index] = deadline_ns

    async def _enforce_before(self, limit_ns: int) -> None:
        """Interrupt those whose ramp-down is over before `limit_ns`, each at its time."""
        while self._deadlines and self._deadlines[0][0] < limit_ns:
            deadline_ns, index = self._deadlines[0]
            if self._deadline_of.get(index) == deadline_ns:
                await self._wait_until(deadline_ns)
                del self._deadline_of[index]
                user = self._made[index]
                if user.running:
                    user.interrupt()
            self._deadlines.popleft()

    # -- the end --

    async def _enforce_all(self, limit_ns: int) -> None:
        await self._enforce_before(limit_ns)
        await self._wait_until(limit_ns)

    def _drop_unstarted(self) -> None:
        """Report what of each user's budget will never be started, and was not reported before."""
        if self._shared is not None:
            left = self._shared.close()
            if left:
                self._dropped(left)
        if self._budget is None:
            return
        for index, user in enumerate(self._made):
            attempts = user.iterations_done - self._done_before[index] + user.running
            left = self._budget - attempts - self._dropped_of.get(index, 0)
            if left > 0:
                self._dropped_of[index] = self._dropped_of.get(index, 0) + left
                self._dropped(left)


def _shared_starts(load: ClosedModel, share: Share) -> SharedStarts | None:
    """The common stock of iterations of this worker's users; None if each has its own number."""
    total = load.shared_iterations
    if total is None:
        return None
    # Iterations go to workers that have a user to make them.
    part = share.among(load.peak_vus)
    return SharedStarts(0) if part is None else SharedStarts(total, part)
