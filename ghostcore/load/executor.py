"""What the executors of closed and open models have in common: a run of one load model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TypedDict, Unpack

from ghostcore.load.control import Pool, RunControl, SleepUntil, User, first_of, interrupt_all
from ghostcore.load.model import LoadModel

__all__ = ["Executor", "ExecutorArgs"]


class ExecutorArgs(TypedDict):
    """What every executor is given.

    :ivar sleep_until: sleeps until an instant of the clock, in ns.
    :ivar now_ns: the clock.
    :ivar start_ns: when the load's own time begins (its ``start_time`` included already).
    :ivar dropped: called with a number of starts that were due and are not made.
    :ivar control: ends the run before its time.
    """

    sleep_until: SleepUntil
    now_ns: Callable[[], int]
    start_ns: int
    dropped: Callable[[int], None]
    control: RunControl | None


class Executor(ABC):
    """One run of a load model."""

    def __init__(self, load: LoadModel, pool: Pool, **setting: Unpack[ExecutorArgs]) -> None:
        self._pool = pool
        self._sleep_until = setting["sleep_until"]
        self._now_ns = setting["now_ns"]
        self._start_ns = setting["start_ns"]
        self._end_ns = self._start_ns + load.duration_ns
        self._graceful_stop_ns = load.graceful_stop_ns
        self._dropped = setting["dropped"]
        self._control = setting["control"] or RunControl()

    @property
    @abstractmethod
    def _users(self) -> Sequence[User]:
        """All that were made so far."""

    @abstractmethod
    async def _execute(self) -> None:
        """From the load's start until the last user is idle."""

    async def carry_out(self) -> None:
        """Run, unless the end was asked for already; whatever ends it leaves no user running."""
        if self._control.stop_requested.is_set():
            return
        try:
            await self._execute()
        except BaseException:
            await self._interrupt_all()
            raise

    def _drain_limit_ns(self) -> int:
        """How long users may finish what they are at, from now on."""
        return min(self._now_ns(), self._end_ns) + self._graceful_stop_ns

    async def _drain(self, time_is_up: Awaitable[None]) -> None:
        """Let users finish until `time_is_up` completes, then interrupt the rest."""
        await first_of(self._pool.idle(), time_is_up, self._control.interrupt_requested.wait())
        await self._interrupt_all()

    async def _interrupt_all(self) -> None:
        await interrupt_all(self._users, self._pool, self._sleep_until, self._now_ns)
