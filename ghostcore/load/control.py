"""What every executor needs: the users it drives, how a run is stopped, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["Pool", "RunControl", "SleepUntil", "User", "first_of"]

SleepUntil = Callable[[int], Awaitable[None]]
"""Sleeps until a point of the clock in ns, never less; cancelling it takes the timer away."""


class User(Protocol):
    """One virtual user slot: runs iterations one after another when told to."""

    iterations_done: int
    """Iterations that have ended, in whatever way, since the user was made."""

    @property
    def running(self) -> bool:
        """Whether an iteration is under way, or the next one certain to begin."""

    def start(self, iterations: int | None = None) -> None:
        """Begin to iterate: `iterations` times, or until told to stop. The user is idle."""

    def request_stop(self) -> None:
        """Finish the current iteration, start none. Nothing happens if the user is idle."""

    def resume(self) -> None:
        """Take :meth:`request_stop` back. The user is running, but may have been interrupted: then
        it goes on with a new iteration when the interrupted one has ended."""

    def interrupt(self) -> None:
        """Cancel the current iteration now, start none. `running` may stay true for as long as the
        iteration takes to clean up."""


class Pool(Protocol):
    """The users of one scenario."""

    def user(self, index: int) -> User:
        """The user in slot `index`, from 0; made when first asked for."""

    def idle(self) -> Awaitable[None]:
        """Completes when no user is running, at once if none is. A new awaitable for each call,
        that can be cancelled without harm to the others."""


class RunControl:
    """Asks a run to end: first gently, then at once. The run's executors watch it.

    The first :meth:`stop` (Ctrl-C) lets users finish their iteration within ``graceful_stop``; a
    second interrupts them at once. To be called in the thread of the event loop.

    :ivar stop_requested: set by the first request; no iteration starts after it.
    :ivar interrupt_requested: set by the second; users are interrupted.
    :ivar reason: that of the first request, "" before.
    """

    __slots__ = ("interrupt_requested", "reason", "stop_requested")

    def __init__(self) -> None:
        self.stop_requested = asyncio.Event()
        self.interrupt_requested = asyncio.Event()
        self.reason = ""

    def stop(self, reason: str) -> None:
        """End gracefully; if that has been asked for already, at once."""
        if self.stop_requested.is_set():
            self.interrupt_requested.set()
            return
        self.reason = reason
        self.stop_requested.set()

    def interrupt(self, reason: str) -> None:
        """End at once."""
        if not self.stop_requested.is_set():
            self.stop(reason)
        self.interrupt_requested.set()


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them is done, then cancel the others and wait until they are gone.

    :raises BaseException: what the first that ended badly raised, or raised while it was cancelled.
    """
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
