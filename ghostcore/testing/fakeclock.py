"""An event loop on a fake clock: tests of time take no time.

Whenever nothing is ready to run, the clock of a :class:`FakeClockLoop` jumps to the next deadline,
so that ``asyncio.sleep(3600)`` returns at once and every run is the same. ::

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        assert loop.time() - before == 3600

    run_fake(main)

Sockets, pipes and subprocesses are not for this loop: it would jump over the time that they take.
Threads and signals work, through the loop's self-pipe.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ghostcore.testing.clock import FakeClock

__all__ = ["FakeClockLoop", "run_fake"]

T = TypeVar("T")

NS_PER_S = 1_000_000_000
LAST_NS = (1 << 22) * NS_PER_S
"""48 days. Beyond, loop.time(), being a float of seconds, could not tell one ns from the next."""

MAX_SPINS = 1_000_000
THREAD_WAIT_S = 30.0


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the loop what to do instead of waiting."""

    idle: Callable[[float | None], float | None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or self.idle is None:
            return ready
        wait_s = self.idle(timeout)
        return super().select(wait_s) if wait_s is not None else ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """A loop whose time moves only when nothing is ready, and then straight to the next deadline.

    :param max_jumps: how many deadlines may be jumped to before the loop is taken for one that
        never ends, and RuntimeError raised. The same goes for a million passes without a jump, for
        48 days of fake time, and for a wait that nothing can end.
    """

    def __init__(self, max_jumps: int = 1_000_000) -> None:
        self.clock = FakeClock()
        self.jumps = 0
        self._max_jumps = max_jumps
        self._spins = 0
        selector = _JumpingSelector()
        super().__init__(selector)
        # BaseEventLoop runs what is due within this of now. Half a ns tells one ns from the next.
        self._clock_resolution = 0.5 / NS_PER_S
        selector.idle = self._idle

    def time(self) -> float:
        """Fake seconds since the loop was made; exact to the ns."""
        return self.clock.now_ns() / NS_PER_S

    def now_ns(self) -> int:
        """Fake ns since the loop was made."""
        return self.clock.now_ns()

    async def sleep_until(self, when_ns: int) -> None:
        """Sleep until :meth:`now_ns` is `when_ns`; in the past, only give way once."""
        if when_ns <= self.now_ns():
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = self.create_future()
        timer = self.call_at(when_ns / NS_PER_S, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the threads of :meth:`run_in_executor` have ended; the clock stands still.

        :param timeout: ignored. It means seconds of real time, but from Python 3.13 on asyncio has
            it run out on this loop's clock, which jumps to it while a thread still works.
        """
        await super().shutdown_default_executor()

    def _idle(self, timeout: float | None) -> float | None:
        """Nothing has come in from outside: move the clock on.

        :returns: None, or real seconds for which to wait for a thread.
        """
        if timeout is not None and timeout <= 0:
            self._spins += 1
            if self._spins > MAX_SPINS:
                self._give_up(f"{MAX_SPINS} passes of the loop without a moment of time")
            return None
        self._spins = 0
        # A private list, but the only exact source: the timeout has been through a subtraction.
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if scheduled:
            self._jump(scheduled[0].when())
            return None
        if self._default_executor is not None:  # type: ignore[attr-defined]
            return THREAD_WAIT_S
        self._give_up("nothing is ready and nothing is scheduled: what is waited for cannot come")
        return None

    def _jump(self, when_s: float) -> None:
        self.jumps += 1
        if self.jumps > self._max_jumps:
            self._give_up(f"more than {self._max_jumps} jumps to a deadline")
        when_ns = math.floor(when_s * NS_PER_S)
        if when_ns / NS_PER_S < when_s:
            when_ns += 1
        if when_ns > LAST_NS:
            self._give_up(f"the next deadline is at {when_s:.0f} s, more than 48 days away")
        self.clock.advance_to(max(when_ns, self.clock.now_ns()))

    def _give_up(self, why: str) -> None:
        # Counted anew, so that the tasks that are left can still be cancelled on this loop.
        self.jumps = self._spins = 0
        raise RuntimeError(f"fake clock at {self.time():.9g} s: {why}")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def run_fake(main: Callable[[], Coroutine[Any, Any, T]], *, max_jumps: int = 1_000_000) -> T:
    """Run ``main()`` on a new :class:`FakeClockLoop` and return what it returns.

    Like ``asyncio.run``: what is left over is cancelled, the loop is closed.
    """
    with asyncio.Runner(loop_factory=lambda: FakeClockLoop(max_jumps)) as runner:
        return runner.run(main())
