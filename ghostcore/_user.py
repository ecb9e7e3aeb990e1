"""The slots of a scenario: each runs iterations one after another and accounts for their ends."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ghostcore._engine import Session
from ghostcore._link import Engine
from ghostcore._random import Random
from ghostcore._units import seconds_to_ns
from ghostcore.errors import ScriptAborted
from ghostcore.vu import SESSIONS_KEPT, VU, Recorder, UserObserver

__all__ = ["User", "UserPool"]

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0


# The random stream of a start is keyed by slot and iteration: the same at any number of workers.
_START_SHIFT = 32


class User(UserObserver):
    """One slot of a scenario: runs iterations one after another, as the executor says, and is what
    the sessions of its iterations report to."""

    __slots__ = (
        "_budget",
        "_failures",
        "_pool",
        "_task",
        "_vu",
        "_wanted",
        "iterations_done",
    )

    def __init__(self, pool: UserPool, index: int) -> None:
        super().__init__(pool.recorder, index)
        self._pool = pool
        self.iterations_done = 0
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        self._budget: int | None = None
        self._failures = 0
        random = Random.keyed(pool.seed, pool.scenario, index << _START_SHIFT)
        self._vu = VU(pool.engine, self, pool.env, random)

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self, iterations: int | None = None) -> None:
        self._budget = iterations
        self._wanted = True
        self._pool.started(self)
        self._launch()

    def request_stop(self) -> None:
        self._wanted = False

    def resume(self) -> None:
        if self._task is not None:
            self._wanted = True

    def interrupt(self) -> None:
        self._wanted = False
        if self._task is not None:
            self.interrupting = True
            self._task.cancel()

    def _launch(self) -> None:
        self.interrupting = False
        # A name that all share and a context that is there already: for the task alone asyncio
        # would make both anew, 120 bytes a user.
        pool = self._pool
        self._task = pool.engine.loop.create_task(self._run(), name=pool.scenario)
        self._task.add_done_callback(self, context=pool.context)

    def __call__(self, task: asyncio.Task[None]) -> None:
        """The task has ended. The slot itself is the callback: a bound method is 64 bytes more."""
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._pool.broken(task.exception())
        if self._wanted and (self._budget is None or self._budget > 0):
            self._launch()  # resumed after an interrupt: it has been running all the time
        else:
            self._wanted = False
            self._pool.ended(self)

    async def _run(self) -> None:
        """Iterations, and the account of how each ended."""
        # One frame for all: a coroutine for each iteration would be 300 bytes more of every user.
        vu, pool, recorder = self._vu, self._pool, self.recorder
        while self._wanted and (self._budget is None or self._budget > 0):
            cancelled_before = self._begin_iteration()
            started_ns = pool.engine.now_ns()
            failed = False
            try:
                await pool.function(vu)
            except asyncio.CancelledError as error:
                if self._cancelled_since(cancelled_before):
                    self._finish()
                    recorder.iteration_interrupted()
                    raise
                failed = True  # the script's own cancellation, which it let escape
                recorder.script_error(error)
            except ScriptAborted as abort:
                recorder.aborted(abort.reason)
            except (Exception, BaseExceptionGroup) as error:
                failed = True
                self.failed_with(error)
            recorder.iteration_ended(pool.engine.now_ns() - started_ns, failed)
            self._finish()
            if self._failures and self._wanted and pool.back_off:
                await self._wait_after_failure()
            elif vu.iteration % 64 == 0:
                # An iteration may never have waited for anything; the loop must have its turn.
                await asyncio.sleep(0)

    def _begin_iteration(self) -> int:
        """Returns how often the task has been cancelled before: not zero for ever after a TaskGroup
        of Python 3.11 or 3.12 whose child failed at its end."""
        if self._budget is not None:
            self._budget -= 1
        vu = self._vu
        vu.iteration = self.iterations_done
        vu.random.rekey((self.index << _START_SHIFT) + self.iterations_done)
        self.begin()
        self.recorder.iteration_started()
        assert self._task is not None
        return self._task.cancelling()

    def _cancelled_since(self, before: int) -> bool:
        assert self._task is not None
        return self.interrupting or self._task.cancelling() > before

    def _finish(self) -> None:
        self.iterations_done += 1
        self._pool.linger(self.settle())
        if self.failed_attempts and not self.held_any:
            self._failures += 1
        else:
            self._failures = 0

    async def _wait_after_failure(self) -> None:
        """A user that cannot connect waits: 0.1 s, doubling to 5 s, each with jitter (x 0.5 to 1).

        Without it a closed model turns a dead server into a hot loop of refused connections. One
        that is let in and thrown out before it received anything has not connected either.
        """
        limit_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 16))
        jitter = Random.keyed(
            self._pool.seed,
            self._pool.scenario + "#backoff",
            (self.index << _START_SHIFT) + self.iterations_done,
        )
        wait_s = limit_s * jitter.uniform(0.5, 1.0)
        timers = self._pool.engine.timers
        until_ns = timers.now_ns() + seconds_to_ns(wait_s)
        while self._wanted and (left_ns := until_ns - timers.now_ns()) > 0:
            # In short pieces: a user that is to stop must not keep the run waiting.
            await timers.sleep(min(left_ns / 1e9, 0.25))


class UserPool:
    """The users of one scenario on this worker (``ghostcore.load.Pool``)."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        scenario: str,
        function: Callable[[VU], Coroutine[Any, Any, Any]],
        env: Mapping[str, str],
        seed: int,
        *,
        back_off: bool,
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self.recorder = recorder
        self.scenario = sys.intern(scenario)
        self.function = function
        self.env = env
        self.seed = seed
        self.back_off = back_off
        self._on_broken = on_broken
        self.context = contextvars.copy_context()
        self._users: list[User | None] = []
        self._closing: list[Session] = []
        self._closing_trim_at = SESSIONS_KEPT
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def user(self, index: int) -> User:
        users = self._users
        while index >= len(users):
            users.append(None)
        found = users[index]
        if found is None:
            found = users[index] = User(self, index)
        return found

    async def idle(self) -> None:
        await self._idle.wait()

    def linger(self, sessions: list[Session]) -> None:
        """Sessions of iterations that are over, whose connections are still being closed."""
        self._closing += sessions
        if len(self._closing) >= self._closing_trim_at:
            self._closing = [one for one in self._closing if one.is_linked]
            self._closing_trim_at = max(SESSIONS_KEPT, 2 * len(self._closing))

    def closing(self) -> list[Session]:
        """Those of them that still are."""
        self._closing = [one for one in self._closing if one.is_linked]
        return self._closing

    @property
    def running(self) -> int:
        """Users that are iterating now."""
        return self._running

    def started(self, user: User) -> None:
        self._running += 1
        self._idle.clear()
        self.recorder.users(1)

    def ended(self, user: User) -> None:
        self._running -= 1
        self.recorder.users(-1)
        if self._running == 0:
            self._idle.set()

    def broken(self, error: BaseException | None) -> None:
        """A user's own loop failed: a fault of ours."""
        if error is not None:
            self._on_broken(error)
