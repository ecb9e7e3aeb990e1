"""The virtual user: what a scenario is given, and the slot that runs iterations of it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Protocol, Unpack

from ghostcore import session as sessions
from ghostcore._engine import Engine, Session
from ghostcore._opening import Observer, Opening, OpeningOptions
from ghostcore._random import Random
from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore.errors import ScriptAborted, TargetError, Timeout, UsageError

__all__ = ["VU", "Recorder", "User", "UserPool"]

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0

# The random stream of a start is keyed by slot and iteration: the same at any number of workers.
_START_SHIFT = 32


class Recorder(Observer, Protocol):
    """The metrics of one scenario, as its users see them."""

    def record(self, metric: Any, value: float, tags: Mapping[str, str]) -> None:
        """A value of a metric, in the metric's unit."""

    def check(self, name: str, passed: bool) -> None:
        """A check of the scenario's."""

    def iteration_started(self) -> None:
        """A user begins an iteration."""

    def iteration_ended(self, elapsed_ns: int, failed: bool) -> None:
        """An iteration ended, by itself or by an error."""

    def iteration_interrupted(self) -> None:
        """An iteration was cut off."""

    def users(self, change: int) -> None:
        """That many more users are running."""

    def aborted(self, reason: str) -> None:
        """The scenario asked for the end of the run."""


class _UserObserver:
    """What the sessions of one user report to: the scenario's recorder, and what the user itself
    must know of its sessions."""

    __slots__ = ("failed_attempts", "interrupting", "opened_any", "recorder", "sessions", "traffic")

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.traffic = recorder.traffic
        self.sessions: list[Session] = []
        self.failed_attempts = 0
        self.opened_any = False
        self.interrupting = False

    def cancel_cause(self) -> str:
        return self.recorder.cancel_cause() if self.interrupting else "deadline"

    def opened(self, session: Session) -> None:
        self.opened_any = True
        if len(self.sessions) >= 16:  # a user that reconnects for ever keeps the living ones only
            self.sessions = [one for one in self.sessions if not one.is_closed or one.error]
        self.sessions.append(session)
        self.recorder.opened(session)

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        self.failed_attempts += 1
        self.recorder.not_opened(elapsed_ns, cause)

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        self.recorder.sample(metric, elapsed_ns)

    def failed(self, metric: Any) -> None:
        self.recorder.failed(metric)

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        self.recorder.cut_off(metric, elapsed_ns, cause)

    def phase(self, name: str, elapsed_ns: int) -> None:
        self.recorder.phase(name, elapsed_ns)

    def dialing(self) -> None:
        self.recorder.dialing()

    def ended(self, session: Session) -> None:
        self.recorder.ended(session)

    def target_error(self, error: TargetError) -> None:
        self.recorder.target_error(error)

    def script_error(self, error: BaseException) -> None:
        self.recorder.script_error(error)

    def settle(self) -> None:
        """The iteration is over: close what it left open, count what it never learned of."""
        for session in self.sessions:
            if not session.is_closed:
                session.goodbye()
            lost = session.take_unseen_error()
            if lost is not None:
                self.recorder.target_error(lost)
        self.sessions.clear()


class _Timer:
    """What ``vu.timer()`` returns."""

    __slots__ = ("_metric", "_start_ns", "_vu")

    def __init__(self, vu: VU, metric: Any) -> None:
        self._vu = vu
        self._metric = metric
        self._start_ns = 0

    def __enter__(self) -> None:
        self._start_ns = self._vu._engine.now_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        observer = self._vu._observer
        now_ns = self._vu._engine.now_ns()
        if error is None:
            arrived = [one.arrived_ns for one in observer.sessions]
            last_ns = max((ns for ns in arrived if ns >= self._start_ns), default=now_ns)
            observer.sample(self._metric, last_ns - self._start_ns)
        elif isinstance(error, Timeout):
            observer.cut_off(self._metric, now_ns - self._start_ns, "deadline")
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            observer.cut_off(self._metric, now_ns - self._start_ns, observer.cancel_cause())
        else:
            observer.failed(self._metric)


class VU:
    """A virtual user, as handed to the scenario.

    :ivar id: number of the user in its scenario, from 1.
    :ivar iteration: number of the current iteration of this user, from 0.
    :ivar env: settings of the run.
    :ivar random: random numbers of this start: the same seed gives the same at any number of
        workers.
    :ivar scenario: name of the scenario.
    """

    __slots__ = ("_engine", "_observer", "env", "id", "iteration", "random", "scenario")

    def __init__(
        self,
        engine: Engine,
        observer: _UserObserver,
        scenario: str,
        user_id: int,
        env: Mapping[str, str],
        random: Random,
    ) -> None:
        self._engine = engine
        self._observer = observer
        self.scenario = scenario
        self.id = user_id
        self.iteration = 0
        self.env = env
        self.random = random

    def connect(
        self, url: str, *, metric: Any = None, **options: Unpack[OpeningOptions]
    ) -> Opening[sessions.WebSocketSession]:
        """Open a plain WebSocket session: see :func:`ghostcore.connect`."""
        return sessions.connect(url, metric=metric, observer=self._observer, **options)

    def socketio(
        self,
        url: str,
        *,
        auth: Any = None,
        namespace: str = "/",
        path: str = "/socket.io/",
        metric: Any = None,
        **options: Unpack[OpeningOptions],
    ) -> Opening[sessions.SocketIOSession]:
        """Open a Socket.IO session: see :func:`ghostcore.socketio`."""
        return sessions.socketio(
            url,
            auth=auth,
            namespace=namespace,
            path=path,
            metric=metric,
            observer=self._observer,
            **options,
        )

    def sleep(self, duration: float | str) -> Any:
        """Sleep that long (seconds, or "200ms"), never shorter. Awaitable."""
        if type(duration) is not float:
            duration = parse_duration(duration, "sleep")
        return self._engine.timers.sleep(duration)

    async def every(self, interval: float | str) -> AsyncIterator[int]:
        """Ticks at a fixed rate: ``async for tick in vu.every(0.5)``. The first comes at once.

        Tick n is due at start + n * interval, however long the body takes; one that is late comes
        at once.
        """
        period_ns = seconds_to_ns(parse_duration(interval, "interval"))
        if period_ns <= 0:
            raise UsageError(f"every: the interval must be over 0, got {interval!r}")
        timers = self._engine.timers
        start_ns = timers.now_ns()
        tick = 0
        while True:
            yield tick
            tick += 1
            await timers.sleep_until(start_ns + tick * period_ns)

    def check(self, passed: object, name: str) -> bool:
        """Count a check under its name; returns whether it passed. Does not end the iteration."""
        held = bool(passed)
        self._observer.recorder.check(name, held)
        return held

    def record(self, metric: Any, value: float = 1, **tags: str) -> None:
        """Record a value of a declared metric: an amount of a Counter, a sample of a Trend (in its
        unit), the level of a Gauge, True or False for a Rate.

        :raises UsageError: the value does not fit the metric.
        """
        self._observer.recorder.record(metric, value, tags)

    def timer(self, metric: Any) -> _Timer:
        """``with vu.timer(METRIC):`` records how long the block took, up to the arrival of the last
        frame in it. A block that fails counts as infinite, one that is cut off as at least its
        time.
        """
        return _Timer(self, metric)

    def abort(self, reason: str = "") -> None:
        """End the whole run; its exit code is 108."""
        raise ScriptAborted(reason)


class User:
    """One slot of a scenario: runs iterations one after another, as the executor says."""

    __slots__ = (
        "_budget",
        "_failures",
        "_pool",
        "_task",
        "_vu",
        "_wanted",
        "index",
        "iterations_done",
    )

    def __init__(self, pool: UserPool, index: int) -> None:
        self._pool = pool
        self.index = index
        self.iterations_done = 0
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        self._budget: int | None = None
        self._failures = 0
        random = Random.keyed(pool.seed, pool.scenario, index << _START_SHIFT)
        observer = _UserObserver(pool.recorder)
        self._vu = VU(pool.engine, observer, pool.scenario, index + 1, pool.env, random)

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self, iterations: int | None = None) -> None:
        self._budget = iterations
        self._wanted = True
        self._launch()

    def request_stop(self) -> None:
        self._wanted = False

    def resume(self) -> None:
        if self._task is not None:
            self._wanted = True

    def interrupt(self) -> None:
        self._wanted = False
        if self._task is not None:
            self._vu._observer.interrupting = True
            self._task.cancel()

    def _launch(self) -> None:
        self._vu._observer.interrupting = False
        # A name that all share and a context that is there already: for the task alone asyncio
        # would make both anew, 120 bytes a user.
        pool = self._pool
        self._task = pool.engine.loop.create_task(self._run(), name=pool.scenario)
        pool.started(self)
        self._task.add_done_callback(self._done, context=pool.context)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._pool.broken(task.exception())
        if self._wanted and (self._budget is None or self._budget > 0):
            self._launch()  # resumed after an interrupt
        else:
            self._wanted = False
        self._pool.ended(self)

    async def _run(self) -> None:
        while self._wanted and (self._budget is None or self._budget > 0):
            if self._budget is not None:
                self._budget -= 1
            await self._iterate()
            if self._failures and self._wanted and self._pool.back_off:
                await self._wait_after_failure()
            elif self._vu.iteration % 64 == 0:
                # An iteration may never have waited for anything; the loop must have its turn.
                await asyncio.sleep(0)

    async def _iterate(self) -> None:
        """One iteration, and the account of how it ended."""
        vu, pool = self._vu, self._pool
        observer, recorder = vu._observer, pool.recorder
        vu.iteration = self.iterations_done
        vu.random.rekey((self.index << _START_SHIFT) + self.iterations_done)
        observer.failed_attempts = 0
        observer.opened_any = False
        recorder.iteration_started()
        started_ns = pool.engine.now_ns()
        failed = False
        try:
            await pool.function(vu)
        except asyncio.CancelledError as error:
            self._finish()
            task = asyncio.current_task()
            if observer.interrupting or (task is not None and task.cancelling()):
                recorder.iteration_interrupted()
                raise
            failed = True  # the script's own cancellation, which it let escape
            recorder.script_error(error)
        except ScriptAborted as abort:
            recorder.aborted(abort.reason)
        except TargetError as error:
            failed = True
            recorder.target_error(error)
        except Exception as error:
            failed = True
            recorder.script_error(error)
        recorder.iteration_ended(pool.engine.now_ns() - started_ns, failed)
        self._finish()

    def _finish(self) -> None:
        observer = self._vu._observer
        self.iterations_done += 1
        observer.settle()
        if observer.failed_attempts and not observer.opened_any:
            self._failures += 1
        else:
            self._failures = 0

    async def _wait_after_failure(self) -> None:
        """A user that cannot connect waits: 0.1 s, doubling to 5 s, each with jitter (x 0.5 to 1).

        Without it a closed model turns a dead server into a hot loop of refused connections.
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
        self._users: dict[int, User] = {}
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def user(self, index: int) -> User:
        found = self._users.get(index)
        if found is None:
            found = self._users[index] = User(self, index)
        return found

    async def idle(self) -> None:
        await self._idle.wait()

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
