import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")

def live_waiters() -> int:
    """Operations that are pending now; zero when nothing is under way (the leak tests ask)."""

class Timer:
    """A place in the queue, which refers to it while it is queued. Subclasses override fire()."""

class CallbackTimer(Timer):
    """A timer that calls a Python function; too slow for what happens at each message."""

    def __init__(self, function: Callable[[], object]) -> None: ...

class TimerQueue:
    """Sleeps and deadlines of one event loop.

    :param loop: the loop whose thread runs the callbacks. If it has an attribute ``clock`` with a
        method ``now_ns()``, time is read there (tests run on a fake clock), else CLOCK_MONOTONIC.
    :ivar loop: as given.
    :ivar fired: timers that have run out so far.
    :ivar late_ns_max: how late the latest of them was, in ns.
    :ivar closed: :meth:`close` was called.
    """

    loop: asyncio.AbstractEventLoop
    fired: int
    late_ns_max: int
    closed: bool
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def __len__(self) -> int: ...
    def close(self) -> None:
        """Forget every timer and give the descriptor back. Idempotent."""
    def now_ns(self) -> int:
        """The queue's clock, in ns: CLOCK_MONOTONIC, or the loop's fake clock."""
    def sleep(self, seconds: float) -> Sleep:
        """An awaitable that completes after that many seconds, never before.

        ``sleep(0)`` gives the loop one turn.
        """
    def sleep_until(self, due_ns: int) -> Sleep:
        """An awaitable that completes at that time of the queue's clock, never before."""
    def call_at(self, due_ns: int, function: Callable[[], object]) -> CallbackTimer:
        """Call `function` at that time; returns the timer, for :meth:`cancel`."""
    def cancel(self, timer: Timer) -> None:
        """Take a timer of :meth:`call_at` off the queue; harmless if it has fired."""

class Waiter(Timer, Generic[_T]):
    """An operation under way: awaitable once, from any task of its loop, with asyncio's manners.

    It stands in for a Future wherever asyncio takes one (``await``, ``wait_for``, ``gather``,
    ``shield``), but the callback that completes it wakes the task that awaits it directly where
    that is safe: when no task is running and the task's own context can be entered. Otherwise the
    wake-up goes through the loop, as with a Future.
    """

    _asyncio_future_blocking: bool
    def __await__(self) -> Generator[Any, None, _T]: ...
    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the operation."""
    def add_done_callback(
        self, callback: Callable[[Waiter[_T]], object], *, context: Context | None = None
    ) -> None:
        """Call `callback(operation)` once it is done, on the loop; begins an operation that nobody
        has awaited yet.

        :param context: the context to call it in; None: a copy of that of the caller.
        """
    def remove_done_callback(self, callback: Callable[[Waiter[_T]], object]) -> int:
        """Take a callback off again; returns how often it was there."""
    def cancel(self, msg: object = None) -> bool:
        """Give the operation up; who awaits it gets a CancelledError.

        :param msg: the argument of that error.
        :returns: False if the operation was done before.
        """
    def cancelled(self) -> bool:
        """Whether the operation was given up."""
    def done(self) -> bool:
        """Whether the operation has a result, has failed, or was given up."""
    def result(self) -> _T:
        """The result; raises the error if the operation failed.

        :raises asyncio.CancelledError: the operation was given up.
        :raises asyncio.InvalidStateError: the operation is under way.
        """
    def exception(self) -> BaseException | None:
        """The error of an operation that failed, None if it has a result.

        :raises asyncio.CancelledError: the operation was given up.
        :raises asyncio.InvalidStateError: the operation is under way.
        """

class Sleep(Waiter[None]):
    """What TimerQueue.sleep() returns."""

class Stepper(Coroutine[Any, Any, _T]):
    """A coroutine whose task need not be woken for each operation that it awaits.

    A task of asyncio looks up six attributes of the future that it waits for, at each turn. A
    stepper stands between a task and its coroutine. The task takes it for the coroutine, and also
    for the future that it waits for, as long as the coroutine goes from one operation of ours to
    the next. The coroutine runs in the context of the task, which stays the current task. The task
    itself sees all else: other awaitables, the end, exceptions, name, cancellation and result.

    :param loop: whose task it is for.
    :param coroutine: what the task would run.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]
    ) -> None: ...
    def send(self, value: Any) -> Any:
        """As of a coroutine: go on to the next thing that the task has to wait for."""
    def throw(self, *error: Any) -> Any:
        """As of a coroutine: raise an error where it waits, and go on."""
    def close(self) -> None:
        """As of a coroutine: end it where it waits."""
    def __await__(self) -> Generator[Any, None, _T]: ...
