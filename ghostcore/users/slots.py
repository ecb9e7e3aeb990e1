"""The slots of a scenario: each runs iterations one after another and accounts for their ends."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ghostcore._asyncio_private import CAN_STEP, give_up
from ghostcore._engine import Engine
from ghostcore._random import Random
from ghostcore._tracebacks import suspended_line
from ghostcore._units import seconds_to_ns
from ghostcore.errors import ScriptAborted, UsageError
from ghostcore.loop.timers import Stepper
from ghostcore.sessions.session import Session
from ghostcore.users.observer import SESSIONS_KEPT, UserObserver
from ghostcore.users.scenario_sink import ScenarioSink
from ghostcore.users.vu import START_SHIFT, VU, Scope

__all__ = ["DueStart", "User", "UserPool"]

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0


class SharedBudget(Protocol):
    """Iterations that several users share."""

    def take(self) -> int:
        """The number of the next iteration to start; -1 if none is left."""
        ...


class DueStart:
    """One iteration to make: the start with that number, which was due then."""

    __slots__ = ("begun", "due_ns", "number")

    def __init__(self, number: int, due_ns: int) -> None:
        self.number = number
        self.due_ns = due_ns
        self.begun = False


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
        UserObserver.__init__(self, pool.recorder, index)  # super() costs more
        self._pool = pool
        self.iterations_done = 0
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        self._budget: int | SharedBudget | DueStart | None = None
        self._failures = 0
        random = pool.random.of_start(index << START_SHIFT)
        self._vu = VU(pool.engine, self, pool.scope, random)

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self, iterations: int | None = None, shared: SharedBudget | None = None) -> None:
        self._make(iterations if shared is None else shared)

    def begin(self, number: int, due_ns: int) -> None:
        self._make(DueStart(number, due_ns))

    def _make(self, budget: int | SharedBudget | DueStart | None) -> None:
        self._budget = budget
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

    def abandon(self) -> None:
        task = self._task
        assert task is not None
        self.recorder.script_error(
            UsageError(
                f"{suspended_line(task) or self._pool.scenario}: the iteration goes on however "
                "often it is interrupted: an 'except' in it swallows asyncio.CancelledError, which "
                "must be raised again"
            )
        )
        task.remove_done_callback(self)
        # The task is given up: else the loop would wait for it when it is closed, and asyncio
        # complain of it a second time, without the line, when it is freed.
        give_up(task)
        # The task is kept for ever: freeing it would close its coroutine, and a coroutine that
        # swallows that, too, would go round without ever waiting again, and hang the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
        self._task = None
        # The operations and the response of the iteration are cut off now.
        budget, now_ns = self._budget, self._pool.engine.now_ns()
        self._interrupted(budget.due_ns if isinstance(budget, DueStart) else now_ns)
        self._finish("dropped")
        self._pool.ended(self)

    def _launch(self) -> None:
        self.interrupting = False
        # All users of the pool share a name and a context: asyncio would make both anew for each
        # task, 120 bytes a user.
        pool = self._pool
        loop = pool.engine.loop
        steps: Coroutine[Any, Any, None] = self._run()
        if CAN_STEP:
            steps = Stepper(loop, steps)
        self._task = loop.create_task(steps, name=pool.scenario)
        self._task.add_done_callback(self, context=pool.context)

    def __call__(self, task: asyncio.Task[None]) -> None:
        """The task has ended. The slot itself is the callback: a bound method is 64 bytes more."""
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._pool.broken(task.exception())
            self._wanted = False  # it would break again
        budget = self._budget
        if self._wanted and (budget is None or (isinstance(budget, int) and budget > 0)):
            self._launch()  # resumed after an interrupt: it has been running all the time
            return
        self._wanted = False
        if isinstance(budget, DueStart) and not budget.begun:
            # The start was interrupted before its task had its first turn.
            self.recorder.dropped(1)
            self.recorder.start_cut_off(self._pool.engine.now_ns() - budget.due_ns)
        self._pool.ended(self)

    async def _run(self) -> None:
        """Iterations, and the account of how each ended."""
        # One frame serves all iterations: a coroutine for each would be 300 bytes more a user.
        vu, pool, recorder = self._vu, self._pool, self.recorder
        while self._take_next():
            started_ns = pool.engine.now_ns()
            cancelled_before = self._begin_iteration(started_ns)
            failed = False
            try:
                await pool.function(vu)
            except asyncio.CancelledError as error:
                if self.interrupting:
                    self._finish(self.cancel_cause())
                    self._interrupted(started_ns)
                    raise
                # The script cancelled itself, and let that escape.
                failed = True
                self._uncancel(cancelled_before)
                self.failed_with(error)
            except ScriptAborted as abort:
                recorder.aborted(abort.reason)
                self._wanted = False
                self._interrupted(started_ns)
                self._finish("interrupted")
                return
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                failed = True
                if self.failed_with(error):
                    # The next start of this user would have no row either. What ended was no
                    # iteration: its few us would only improve the durations.
                    self._wanted = False
                    self._finish("")
                    return
            elapsed_ns = pool.engine.now_ns() - started_ns
            # An iteration whose connection was lost unseen has not been answered either.
            failed |= self._finish("dropped" if failed else "")
            recorder.iteration_ended(elapsed_ns, failed)
            budget = self._budget
            if type(budget) is DueStart:
                recorder.response_ended(started_ns + elapsed_ns - budget.due_ns, failed)
                return
            if self._failures and self._wanted and pool.back_off:
                await self._wait_after_failure()
            elif vu.iteration % 64 == 0:
                # An iteration may never have waited for anything; the loop must have its turn.
                await asyncio.sleep(0)

    def _take_next(self) -> bool:
        """Take an iteration out of the budget, with the key of its random numbers. False if none is
        left, or none is wanted."""
        budget = self._budget
        key = (self.index << START_SHIFT) + self.iterations_done
        if not self._wanted:
            return False
        if budget is None:
            pass
        elif isinstance(budget, int):
            if budget <= 0:
                return False
            self._budget = budget - 1
        elif isinstance(budget, DueStart):
            budget.begun = True
            key = budget.number
        else:
            key = budget.take()
            if key < 0:
                return False
        self._vu.random.rekey(key)
        return True

    def _begin_iteration(self, now_ns: int) -> int:
        """Returns how often the task has been cancelled before: the count never returns to zero
        after a TaskGroup of Python 3.11 or 3.12 whose child failed at its end."""
        self._vu.iteration = self.iterations_done
        self.failed_attempts = 0
        self.held_any = False
        budget = self._budget
        self.recorder.iteration_started()
        if type(budget) is DueStart:
            self.due = budget.due_ns
            self.recorder.iteration_late(now_ns - budget.due_ns)
        assert self._task is not None
        return self._task.cancelling()

    def _interrupted(self, started_ns: int) -> None:
        """The iteration that began then was cut off."""
        now_ns, budget = self._pool.engine.now_ns(), self._budget
        self.recorder.iteration_interrupted(now_ns - started_ns)
        if isinstance(budget, DueStart):
            self.recorder.response_cut_off(now_ns - budget.due_ns)

    def _uncancel(self, before: int) -> None:
        """The task goes on in spite of its cancellation."""
        task = self._task
        assert task is not None
        while task.cancelling() > before:
            task.uncancel()

    def _finish(self, cause: str) -> bool:
        """Close what the iteration left open, and count what it missed.

        :param cause: why ticks of its loops will not begin, "" if they are not wanted.
        :returns: whether a session was lost without the iteration learning of it.
        """
        self.iterations_done += 1
        if cause and self.due is not None:
            self.cut_off_missed_ticks(self._pool.engine.now_ns(), cause)
        self.due = None
        open_still, lost = self.close_sessions()
        self._pool.keep_until_closed(open_still)
        if self.failed_attempts and not self.held_any:
            self._failures += 1
        else:
            self._failures = 0
        return lost

    async def _wait_after_failure(self) -> None:
        """A user that cannot connect waits: 0.1 s, doubling to 5 s, each with jitter (x 0.5 to 1).

        Without it a closed model turns a dead server into a hot loop of refused connections. One
        that is let in and thrown out before it received anything has not connected either.
        """
        limit_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 16))
        jitter = Random.keyed(
            self._pool.seed,
            self._pool.scenario + "#backoff",
            (self.index << START_SHIFT) + self.iterations_done,
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
        recorder: ScenarioSink,
        scope: Scope,
        function: Callable[[VU], Coroutine[Any, Any, Any]],
        seed: int,
        *,
        back_off: bool,
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self.recorder = recorder
        self.scope = scope
        self.scenario = sys.intern(scope.scenario)
        self.function = function
        self.seed = seed
        self.random = Random.keyed(seed, scope.scenario)
        self.back_off = back_off
        self._on_broken = on_broken
        self.context = contextvars.copy_context()
        self._users: list[User | None] = []
        self._closing: list[Session] = []
        self._closing_trim_at = SESSIONS_KEPT
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_idle: Callable[[Any], None] | None = None

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

    def keep_until_closed(self, sessions: list[Session]) -> None:
        """Remember sessions of an iteration that is over until their connections have ended."""
        self._closing += sessions
        if len(self._closing) >= self._closing_trim_at:
            self._closing = [one for one in self._closing if one._is_linked]
            self._closing_trim_at = max(SESSIONS_KEPT, 2 * len(self._closing))

    def closing(self) -> list[Session]:
        """Sessions of iterations that are over, whose connections have not ended yet."""
        self._closing = [one for one in self._closing if one._is_linked]
        return self._closing

    @property
    def running(self) -> int:
        """Users that are iterating now."""
        return self._running

    def started(self, user: User) -> None:
        if self._running == 0:
            self._idle.clear()
        self._running += 1
        self.recorder.users(1)

    def ended(self, user: User) -> None:
        self._running -= 1
        self.recorder.users(-1)
        if self._running == 0:
            self._idle.set()
        if self.on_idle is not None:
            self.on_idle(user)

    def broken(self, error: BaseException | None) -> None:
        """A user's own loop failed: a fault of ours."""
        if error is not None:
            self._on_broken(error)
