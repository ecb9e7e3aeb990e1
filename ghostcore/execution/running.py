"""start(): a run in a task of its own, which can be watched and steered while it goes."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self, Unpack

from ghostcore.errors import UsageError
from ghostcore.execution.listeners import Listeners, listeners_of
from ghostcore.execution.plan import Plan, RunOptions
from ghostcore.execution.progress import Progress, RunListener
from ghostcore.execution.runner import carry_out, prepare
from ghostcore.load.control import RunControl
from ghostcore.results.result import Result
from ghostcore.users.scenario import Scenario

__all__ = ["Follower", "Running", "start"]


class Follower:
    """Iterates over the seconds of a run: always the latest, so that a slow reader keeps nothing.

    What is told while the reader is elsewhere is joined: ``missed`` counts the seconds that were
    passed over. The totals lose nothing by it.
    """

    def __init__(self) -> None:
        self._latest: Progress | None = None
        self._missed = 0
        self._over = False
        self._news = asyncio.Event()

    def tell(self, progress: Progress) -> None:
        """Another second is over."""
        if self._latest is not None:
            self._missed += 1
        self._latest = progress
        self._news.set()

    def end(self) -> None:
        """The run is over."""
        self._over = True
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Progress:
        while self._latest is None:
            if self._over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        latest, missed = self._latest, self._missed
        self._latest, self._missed = None, 0
        return replace(latest, missed=missed) if missed else latest


class _Followers:
    """Tells the readers of a run: the first of its listeners."""

    def __init__(self) -> None:
        self._reading: weakref.WeakSet[Follower] = weakref.WeakSet()

    def add(self, follower: Follower) -> None:
        """Tell it as well, as long as somebody holds it."""
        self._reading.add(follower)

    def end(self) -> None:
        """The run is over, with or without a result."""
        for follower in list(self._reading):
            follower.end()

    def started(self, plan: Plan) -> None:
        """Readers are told of seconds only."""

    def progressed(self, progress: Progress) -> None:
        for follower in list(self._reading):
            follower.tell(progress)

    def finished(self, result: Result) -> None:
        """Nothing to tell: a run may end without a result, too. See :meth:`end`."""


class Running:
    """A run that goes on: what ``async with ghostcore.start(...) as running`` gives.

    ``async for progress in running`` gives a :class:`~ghostcore.Progress` for each second, until
    the run is over; any number of readers may do so, and a slow one slows nothing: it gets the
    latest.

    :ivar control: the handle of the run, which moves externally controlled users too.
    """

    def __init__(
        self,
        scenarios: tuple[Scenario, ...],
        listener: RunListener | Sequence[RunListener] | None,
        control: RunControl,
        options: RunOptions,
    ) -> None:
        self._scenarios = scenarios
        self._options = options
        self._followers = _Followers()
        self._listeners = Listeners((self._followers, *listeners_of(listener)))
        self.control = control
        self._task: asyncio.Task[Result] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise UsageError("a run is started once: call start(...) again for another")
        plan, warnings = prepare(self._scenarios, self._options)
        self._task = asyncio.create_task(
            carry_out(plan, warnings, self._listeners, self.control), name="ghostcore run"
        )
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the end of the run. An error in the block interrupts it."""
        assert self._task is not None
        if error is not None:
            self.control.interrupt(f"the block of the run failed: {error!r}")
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            self.control.interrupt("cancelled")
            await asyncio.wait({self._task})
            raise
        failed = None if self._task.cancelled() else self._task.exception()
        if failed is None or failed is error:
            return
        if error is None:
            raise failed
        error.add_note(f"the run failed as well: {failed!r}")

    def _ended(self, task: asyncio.Task[Result]) -> None:
        self._followers.end()

    def stop(self, reason: str = "stopped") -> None:
        """End the run gracefully; once more, at once. Its result is marked interrupted (105)."""
        self.control.stop(reason)

    def interrupt(self, reason: str = "stopped") -> None:
        """End the run at once."""
        self.control.interrupt(reason)

    @property
    def is_over(self) -> bool:
        """Has the run ended?"""
        return self._task is not None and self._task.done()

    async def result(self) -> Result:
        """Wait for the end of the run; its result, or what it raised.

        Cancelling this wait does not end the run.
        """
        if self._task is None:
            raise UsageError("this run has not been started: async with start(...) as running")
        return await asyncio.shield(self._task)

    def __aiter__(self) -> Follower:
        follower = Follower()
        if self.is_over:
            follower.end()
        else:
            self._followers.add(follower)
        return follower


def start(
    *scenarios: Scenario,
    listener: RunListener | Sequence[RunListener] | None = None,
    control: RunControl | None = None,
    **options: Unpack[RunOptions],
) -> Running:
    """Start a run in the loop that runs already, to follow and steer it::

        async with ghostcore.start(chat, env={...}) as running:
            async for progress in running:
                if progress.metrics["checks"].fails:
                    running.stop("a check failed")
            result = await running.result()

    The block is left when the run has ended; an error in it interrupts the run. Arguments as for
    :func:`run`.

    :raises InvalidPlan: on entering the block, with every problem of the plan.
    """
    return Running(scenarios, listener, control or RunControl(), options)
