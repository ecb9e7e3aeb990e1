"""What every executor needs: the users it drives, how a run is stopped, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from ghostcore._asyncio_private import runs_here
from ghostcore.errors import UsageError
from ghostcore.load.share import ALL, Share

__all__ = [
    "START_BATCH",
    "Pool",
    "RunControl",
    "SharedStarts",
    "SleepUntil",
    "User",
    "VuControl",
    "first_of",
    "interrupt_all",
]

START_BATCH = 250
"""Starts released before the event loop gets to its sockets again: 10,000 users that begin at one
instant would otherwise hold up every answer to users that are already connected."""

SleepUntil = Callable[[int], Awaitable[None]]
"""Sleeps until a point of the clock in ns, never less; cancelling it takes the timer away."""


class SharedStarts:
    """A number of iterations that users take from one by one."""

    __slots__ = ("_share", "_taken", "_total")

    def __init__(self, total: int, share: Share = ALL) -> None:
        self._total = share.count(total)
        self._share = share
        self._taken = 0

    def take(self) -> int:
        """The number, in the whole plan, of the next iteration to start; -1 if none is left."""
        if self._taken >= self._total:
            return -1
        self._taken += 1
        return self._share.number(self._taken - 1)

    def close(self) -> int:
        """No more are given out; returns how many were left."""
        left, self._total = self._total - self._taken, self._taken
        return left


class User(Protocol):
    """One virtual user slot: runs iterations one after another when told to."""

    iterations_done: int
    """Iterations that have ended, in whatever way, since the user was made."""

    @property
    def running(self) -> bool:
        """Whether an iteration is under way, or the next one certain to begin."""

    def start(self, iterations: int | None = None, shared: SharedStarts | None = None) -> None:
        """Begin to iterate: `iterations` times, or as long as `shared` has some, or until told to
        stop. The user is idle."""

    def begin(self, number: int, due_ns: int) -> None:
        """Make the one iteration of start `number`, which was due at `due_ns`. The user is idle."""

    def request_stop(self) -> None:
        """Finish the current iteration, start none. Nothing happens if the user is idle."""

    def resume(self) -> None:
        """Take :meth:`request_stop` back. The user is running, but may have been interrupted: then
        it goes on with a new iteration when the interrupted one has ended."""

    def interrupt(self) -> None:
        """Cancel the current iteration now, start none. `running` may stay true for as long as the
        iteration takes to clean up."""

    def abandon(self) -> None:
        """The iteration does not end however often it is interrupted: count it as a fault of the
        script's, and run without this user."""


class Pool(Protocol):
    """The users of one scenario."""

    on_idle: Callable[[User], None] | None
    """Called with each user that has become idle, if somebody asks for it."""

    def user(self, index: int) -> User:
        """The user in slot `index`, from 0; made when first asked for."""

    def idle(self) -> Awaitable[None]:
        """Completes when no user is running, at once if none is. A new awaitable for each call,
        that can be cancelled without harm to the others."""


INTERRUPT_BATCH = 10
"""Users interrupted before the loop has its turn: the end of an iteration takes some 70 us if it
closes a session."""

CLEAN_UP_NS = 10 * 10**9
"""What an interrupted iteration may take to clean up."""

INSIST_NS = 100_000_000
"""Time between two further interruptions of an iteration that still goes on after that."""

INSIST_TIMES = 20
"""Interruptions after which such an iteration is abandoned."""


async def interrupt_all(
    users: Sequence[User], pool: Pool, sleep_until: SleepUntil, now_ns: Callable[[], int]
) -> None:
    """Interrupt the users that run, and return when none runs.

    A script may swallow its cancellation (``except:``) and go on. Its iteration is interrupted
    again and again once the time to clean up is over, and in the end abandoned.
    """
    await _interrupt_in_batches(users)
    await first_of(pool.idle(), sleep_until(now_ns() + CLEAN_UP_NS))
    for _ in range(INSIST_TIMES):
        going_on = [user for user in users if user.running]
        if not going_on:
            break
        for user in going_on:
            user.interrupt()
        await first_of(pool.idle(), sleep_until(now_ns() + INSIST_NS))
    for user in users:
        if user.running:
            user.abandon()
    await pool.idle()


async def _interrupt_in_batches(users: Sequence[User]) -> None:
    """Interrupt users with turns of the loop in between: thousands in one turn are a lag of 100 ms,
    in which answers that are there already wait for their stamps."""
    left = iter(users)
    try:
        for count, user in enumerate(left, 1):
            if user.running:
                user.interrupt()
            if count % INTERRUPT_BATCH == 0:
                await asyncio.sleep(0)
    finally:  # if this task is cancelled, the rest is interrupted in one go
        for user in left:
            if user.running:
                user.interrupt()


class VuControl:
    """How many users an externally controlled scenario is to have. Read on the loop of the run.

    :ivar changed: set whenever ``wanted`` may have changed.
    """

    __slots__ = ("changed", "max_vus", "paused", "vus")

    def __init__(self, vus: int, max_vus: int) -> None:
        self.vus = vus
        self.max_vus = max_vus
        self.paused = False
        self.changed = asyncio.Event()

    @property
    def wanted(self) -> int:
        """Users that are to run now."""
        return 0 if self.paused else self.vus


class RunControl:
    """The handle of one run: asks it to end, and moves the users of its externally controlled
    scenarios. Its methods may be called from any thread, before the run and while it goes.

    The first :meth:`stop` (Ctrl-C) lets users finish their iteration within ``graceful_stop``; a
    second interrupts them at once.

    :ivar stop_requested: set by the first request; no iteration starts after it.
    :ivar interrupt_requested: set by the second; users are interrupted.
    :ivar reason: that of the first request, "" before.
    """

    __slots__ = (
        "_early",
        "_ended",
        "_lock",
        "_loop",
        "_next",
        "_vu_controls",
        "interrupt_requested",
        "reason",
        "stop_requested",
    )

    def __init__(self) -> None:
        self.stop_requested = asyncio.Event()
        self.interrupt_requested = asyncio.Event()
        self.reason = ""
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False
        self._vu_controls: dict[str, VuControl] = {}
        # What was asked for before the run began, until it does.
        self._early: list[Callable[[], None]] = []
        self._next = asyncio.Event()

    # -- for whoever wants the run to end --

    def stop(self, reason: str) -> None:
        """End gracefully; if that has been asked for already, at once."""
        self._on_loop(self._stop, reason)

    def interrupt(self, reason: str) -> None:
        """End at once."""
        self._on_loop(self._interrupt, reason)

    async def another(self) -> None:
        """Complete at the next request to end, whatever was asked for before. On the run's loop."""
        await self._next.wait()

    def _stop(self, reason: str) -> None:
        self._next.set()
        self._next = asyncio.Event()
        if self.stop_requested.is_set():
            self.interrupt_requested.set()
            return
        self.reason = reason
        self.stop_requested.set()

    def _interrupt(self, reason: str) -> None:
        if not self.stop_requested.is_set():
            self._stop(reason)
        self.interrupt_requested.set()

    # -- for whoever controls users from outside --

    def set_vus(self, vus: int, scenario: str | None = None) -> None:
        """Let that many users run.

        Users that are too many finish their iteration within ``graceful_ramp_down``.

        :param vus: 0 to the ``max_vus`` of the scenario's ``ExternallyControlled``.
        :param scenario: needed only where several are externally controlled.
        :raises UsageError: out of range, no such scenario, or the run has ended. What is asked for
            before the run is checked when it begins.
        """
        if isinstance(vus, bool) or not isinstance(vus, int) or vus < 0:
            raise UsageError(f"set_vus: vus must be a whole number, 0 or more, not {vus!r}")
        self._move(lambda: self._set_vus(vus, scenario))

    def pause(self, scenario: str | None = None) -> None:
        """Let no user run until :meth:`resume`; the time of the run goes on. As ``set_vus(0)``, but
        the number is kept."""
        self._move(lambda: self._set_paused(True, scenario))

    def resume(self, scenario: str | None = None) -> None:
        """End a pause."""
        self._move(lambda: self._set_paused(False, scenario))

    def _set_vus(self, vus: int, scenario: str | None) -> None:
        vu_control = self._vu_control(scenario)
        if vus > vu_control.max_vus:
            raise UsageError(
                f"set_vus: vus must be at most max_vus ({vu_control.max_vus}), not {vus}"
            )
        vu_control.vus = vus
        self._on_loop(vu_control.changed.set)

    def _set_paused(self, paused: bool, scenario: str | None) -> None:
        vu_control = self._vu_control(scenario)
        vu_control.paused = paused
        self._on_loop(vu_control.changed.set)

    def _vu_control(self, scenario: str | None) -> VuControl:
        if scenario is None and len(self._vu_controls) == 1:
            return next(iter(self._vu_controls.values()))
        found = self._vu_controls.get(scenario or "")
        if found is not None:
            return found
        known = ", ".join(sorted(self._vu_controls))
        if not known:
            raise UsageError("no scenario of this run has load=ExternallyControlled(...)")
        if scenario is None:
            raise UsageError(f"several scenarios are externally controlled: name one of {known}")
        raise UsageError(f"scenario {scenario!r} is not externally controlled; {known} can be")

    def _move(self, action: Callable[[], None]) -> None:
        with self._lock:
            if self._ended:
                raise UsageError("the run of this control has ended")
            if self._loop is None:
                self._early.append(action)
            else:
                action()

    # -- for the run --

    def begin(self, vu_controls: Mapping[str, VuControl]) -> None:
        """The run begins, on the loop that runs now.

        :param vu_controls: of its externally controlled scenarios, by name.
        :raises UsageError: the control has had its run; or something was asked for before that
            cannot be.
        """
        with self._lock:
            if self._loop is not None:
                raise UsageError("a RunControl is the handle of one run: make one for each")
            self._loop = asyncio.get_running_loop()
            self._vu_controls.update(vu_controls)
            early, self._early = self._early, []
            for action in early:
                action()

    def end(self) -> None:
        """The run has ended: there is nothing left to control."""
        self._ended = True

    def vu_control(self, scenario: str) -> VuControl:
        """The vu_control of a scenario that was passed to :meth:`begin`."""
        return self._vu_controls[scenario]

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        """Call it in the thread of the run, where events have their waiters."""
        with self._lock:
            loop = self._loop
            if loop is None or runs_here(loop):
                function(*arguments)
                return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and no waiter is left on it
            loop.call_soon_threadsafe(function, *arguments)


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Wait until one of the awaitables is done, then cancel the others and wait for their end.

    :raises BaseException: the error of the first, in the order given, that failed or fails when it
        is cancelled.
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
