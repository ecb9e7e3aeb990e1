"""The virtual user: what a scenario is given, and the slot that runs iterations of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Unpack

from ghostcore._engine import Engine, Traffic
from ghostcore._random import Random
from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore.errors import DataExhausted, ScriptAborted, TargetError, UsageError
from ghostcore.metrics.recorders import TrendRecorder
from ghostcore.opening import connect as sessions
from ghostcore.opening.opening import Observer, Opening
from ghostcore.opening.options import OpeningOptions
from ghostcore.opening.route import route_of
from ghostcore.sessions.session import Session
from ghostcore.users.feeder import Feed, Feeder
from ghostcore.users.ticks import Pace, Ticks

__all__ = ["SESSIONS_KEPT", "START_SHIFT", "VU", "Recorder", "Scope", "UserObserver"]

SESSIONS_KEPT = 16
"""Sessions of an iteration that are remembered before those that have ended are sorted out."""

START_SHIFT = 32
"""In a closed model a start is keyed by slot and iteration: ``(slot << START_SHIFT) + iteration``.
Elsewhere the key is the number of the start."""


class Recorder(Observer, Protocol):
    """The metrics of one scenario, as its users see them.

    :ivar scenario: its name.
    """

    scenario: str

    def record(self, metric: Any, value: float, tags: Mapping[str, str]) -> None:
        """A value of a metric, in the metric's unit."""

    def check(self, name: str, passed: bool) -> None:
        """A check of the scenario's."""

    def iteration_started(self, late_ns: int = -1) -> None:
        """A user begins an iteration, so much later than it was due; -1: it was not due at a time
        of its own."""

    def iteration_ended(self, elapsed_ns: int, failed: bool, late_ns: int = -1) -> None:
        """An iteration ended, by itself or by an error."""

    def iteration_interrupted(self, elapsed_ns: int, late_ns: int = -1) -> None:
        """An iteration was cut off."""

    def first_step(self, metrics: tuple[Any, ...]) -> None:
        """An iteration that was due began with an operation that is measured by these metrics."""

    def start_cut_off(self, elapsed_ns: int) -> None:
        """A start that was due and is not made would have waited at least so long."""

    def ticks_cut_off(
        self, metrics: tuple[Any, ...], elapsed_ns: int, step_ns: int, count: int, cause: str
    ) -> None:
        """Operations that were due and never began: the first so long ago, each of the others
        `step_ns` later."""

    def dropped(self, count: int) -> None:
        """Starts that were due and will not be made."""

    def users(self, change: int) -> None:
        """That many more users are running."""

    def aborted(self, reason: str) -> None:
        """The scenario asked for the end of the run."""

    def data_exhausted(self, error: DataExhausted) -> None:
        """A start found no row left."""


class UserObserver:
    """What the sessions of one user report to: the scenario's recorder, and what the user itself
    must know of its sessions."""

    __slots__ = (
        "_others",
        "_reported",
        "_session",
        "_trim_at",
        "due",
        "failed_attempts",
        "held_any",
        "index",
        "interrupting",
        "recorder",
    )

    def __init__(self, recorder: Recorder, index: int = 0) -> None:
        self.recorder = recorder
        self.index = index
        # Most users have one session: a list is made for those that have more.
        self._session: Session | None = None
        self._others: list[Session] | None = None
        # By identity, and the errors themselves: an id alone could be that of one that is gone.
        self._reported: dict[int, TargetError] | None = None
        self._trim_at = SESSIONS_KEPT
        # Of what the iteration, or a tick of a loop in it, is to begin with: a time in ns, or the
        # loop. None where nothing is due.
        self.due: int | Pace | None = None
        self.failed_attempts = 0
        self.held_any = False
        self.interrupting = False

    @property
    def traffic(self) -> Traffic:
        return self.recorder.traffic

    @property
    def sessions(self) -> list[Session]:
        """Those of the iteration so far, but for many that have ended."""
        first = [] if self._session is None else [self._session]
        return first + self._others if self._others else first

    def cancel_cause(self) -> str:
        return self.recorder.cancel_cause() if self.interrupting else "deadline"

    def begun(self, at_ns: int, *metrics: Any) -> int:
        due = self.due
        if due is None:
            return -1
        if isinstance(due, int):
            self.due = None
            self.recorder.first_step(metrics)
            return at_ns - due
        while due is not None and due.left_ns:  # loops that the script left for other things
            due = due.outer
        self.due = due
        return -1 if due is None else due.claim(at_ns, metrics)

    def opened(self, session: Session, tcp_ns: int, late_ns: int = -1) -> None:
        if self._session is None:
            self._session = session
        elif self._others is None:
            self._others = [session]
        else:
            if len(self._others) >= self._trim_at:
                # A user that reconnects for ever keeps those that live or have something to tell.
                others = self._others
                self.held_any = self.held_any or any(one.was_held() for one in others)
                self._others = [one for one in others if one.is_linked or one.has_unseen_error]
                self._trim_at = max(SESSIONS_KEPT, 2 * len(self._others))
            self._others.append(session)
        self.recorder.opened(session, tcp_ns, late_ns)

    def not_opened(self, elapsed_ns: int, cause: str | None, late_ns: int = -1) -> None:
        self.failed_attempts += 1
        self.recorder.not_opened(elapsed_ns, cause, late_ns)

    def sample(self, metric: Any, elapsed_ns: int, late_ns: int = -1) -> None:
        self.recorder.sample(metric, elapsed_ns, late_ns)

    def trend(self, metric: Any) -> TrendRecorder | None:
        return self.recorder.trend(metric)

    def failed(self, metric: Any, late_ns: int = -1) -> None:
        self.recorder.failed(metric, late_ns)

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str, late_ns: int = -1) -> None:
        self.recorder.cut_off(metric, elapsed_ns, cause, late_ns)

    def phase(self, name: str, elapsed_ns: int) -> None:
        self.recorder.phase(name, elapsed_ns)

    def dialing(self) -> None:
        self.recorder.dialing()

    def ended(self, session: Session) -> None:
        self.recorder.ended(session)

    def target_error(self, error: TargetError) -> None:
        # The end of a session fails every operation of it with one and the same error.
        if self._reported is None:
            self._reported = {}
        if id(error) not in self._reported:
            self._reported[id(error)] = error
            self.recorder.target_error(error)

    def script_error(self, error: BaseException) -> None:
        if isinstance(error, ScriptAborted):
            self.recorder.aborted(error.reason)
        else:
            self.recorder.script_error(error)

    def failed_with(self, error: BaseException) -> bool:
        """An error left the iteration: count it, or each of a group of errors, as what it is.

        :returns: whether it was for want of data.
        """
        exhausted = False
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                exhausted |= self.failed_with(one)
        elif isinstance(error, TargetError):
            self.target_error(error)
        elif isinstance(error, DataExhausted):
            exhausted = True
            self.recorder.data_exhausted(error)
        else:
            self.script_error(error)
            # A script that breaks before it has opened anything would be a hot loop as well.
            self.failed_attempts += 1
        return exhausted

    def owe(self, now_ns: int, cause: str) -> None:
        """The iteration was ended from within its loops: ticks that were due are cut off."""
        due, self.due = self.due, None
        while isinstance(due, Pace):
            waited_ns, count = due.owed(now_ns)
            if count:
                self.recorder.ticks_cut_off(due.metrics, waited_ns, due.period_ns, count, cause)
            due = due.outer

    def settle(self) -> tuple[list[Session], bool]:
        """The iteration is over: close what it left open, count what it never learned of.

        :returns: the sessions whose connections have not ended yet; whether one of the others had
            ended by an error that the iteration did not learn of.
        """
        sessions, lost_any = self.sessions, False
        for session in sessions:
            if not session.is_closed:
                session.goodbye()
            lost = session.take_unseen_error()
            if lost is not None:
                self.failed_with(lost)
                lost_any = True
            self.held_any = self.held_any or session.was_held()
        if sessions and not self.held_any:
            self.failed_attempts += 1
        self._session = self._others = self._reported = None
        return [one for one in sessions if one.is_linked], lost_any


_CUT_OFF = (TimeoutError, asyncio.CancelledError, GeneratorExit, ScriptAborted)


class _Timer:
    """What ``vu.timer()`` returns."""

    __slots__ = ("_late_ns", "_metric", "_since_ns", "_start_ns", "_vu")

    def __init__(self, vu: VU, metric: Any, since_ns: int | None) -> None:
        self._vu = vu
        self._metric = metric
        self._since_ns = since_ns
        self._start_ns = 0
        self._late_ns = -1

    def __enter__(self) -> None:
        since_ns = self._since_ns
        self._start_ns = self._vu._engine.now_ns() if since_ns is None else since_ns
        self._late_ns = self._vu._observer.begun(self._start_ns, self._metric)

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
            observer.sample(self._metric, last_ns - self._start_ns, self._late_ns)
        elif isinstance(error, _CUT_OFF):
            # A deadline of ghostcore's, or of asyncio.timeout() in the block.
            cause = "deadline" if isinstance(error, TimeoutError) else observer.cancel_cause()
            if isinstance(error, ScriptAborted):
                cause = "interrupted"
            observer.cut_off(self._metric, now_ns - self._start_ns, cause, self._late_ns)
        else:
            observer.failed(self._metric, self._late_ns)


@dataclass(frozen=True, slots=True)
class Scope:
    """What all users of a scenario share.

    :ivar data: what the run's set-up returned.
    :ivar feeds: rows by the feeder that gives them.
    :ivar stride: in a closed model its most users: iteration n of slot k is start k + n * stride.
        0 where a start's key is its number.
    """

    scenario: str
    env: Mapping[str, str]
    data: Any = None
    feeds: Mapping[Feeder, Feed] = field(default_factory=dict)
    stride: int = 0

    def start_of(self, key: int) -> int:
        """The number of a start in its scenario, from 0."""
        if not self.stride:
            return key
        return (key >> START_SHIFT) + (key & ((1 << START_SHIFT) - 1)) * self.stride


class VU:
    """A virtual user, as handed to the scenario.

    :ivar iteration: number of the current iteration of this user, from 0.
    :ivar random: random numbers of this start: the same seed gives the same at any number of
        workers.
    """

    __slots__ = ("_engine", "_observer", "_scope", "iteration", "random")

    def __init__(
        self, engine: Engine, observer: UserObserver, scope: Scope, random: Random
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._scope = scope
        self.iteration = 0
        self.random = random

    @property
    def id(self) -> int:
        """Number of the user in its scenario, from 1."""
        return self._observer.index + 1

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return self._scope.scenario

    @property
    def env(self) -> Mapping[str, str]:
        """Settings of the run, the scenario and its load model."""
        return self._scope.env

    @property
    def data(self) -> Any:
        """What the run's set-up returned; None without one. All users share it: do not change it.

        It has been through msgpack: tuples have become lists.
        """
        return self._scope.data

    def row(self, feeder: Feeder) -> Any:
        """The row of this start, the same however often it is asked for.

        :param feeder: one that the scenario names in ``feeders=``.
        :raises DataExhausted: the feeder's rows are unique, and none is left for this start.
        :raises UsageError: the scenario does not name this feeder.
        """
        scope = self._scope
        feed = scope.feeds.get(feeder)
        if feed is None:
            raise UsageError(
                f"row({feeder!r:.100}): scenario {scope.scenario} does not name this feeder: "
                "its rows are read before the run, by @scenario(feeders=[...])"
            )
        key = self.random.index
        return feed.row(scope.start_of(key), key)

    def connect(
        self, url: str, *, metric: Any = None, **options: Unpack[OpeningOptions]
    ) -> Opening[sessions.WebSocketSession]:
        """Open a plain WebSocket session: see :func:`ghostcore.connect`."""
        return Opening(
            route_of(url, None, options), self._observer, sessions.WebSocketSession, metric
        )

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

    def sleep(self, duration: float | str) -> Awaitable[None]:
        """Sleep that long (seconds, or "200ms"), never shorter. Awaitable."""
        if type(duration) is not float:
            duration = parse_duration(duration, "sleep")
        if self._observer.due is not None:
            self._observer.begun(self._engine.now_ns())
        return self._engine.timers.sleep(duration)

    def every(self, interval: float | str) -> AsyncIterator[int]:
        """Ticks at a fixed rate: ``async for tick in vu.every(0.5)``. The first comes at once.

        Tick n is due at start + n * interval, however long the body takes; one that is late comes
        at once. An operation that a tick begins with is measured from there as well: see
        docs/load.md.

        :param interval: seconds, or "200ms"; more than 0.
        """
        period_ns = seconds_to_ns(parse_duration(interval, "interval"))
        if period_ns <= 0:
            raise UsageError(f"every: the interval must be over 0, got {interval!r}")
        return Ticks(self._observer, self._engine.timers, period_ns)

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

    def timer(self, metric: Any, *, since_ns: int | None = None) -> _Timer:
        """``with vu.timer(METRIC):`` records how long the block took, up to the arrival of the last
        frame in it. A block that fails counts as infinite, one that is cut off as at least its
        time.

        :param since_ns: count from that moment (``time.monotonic_ns()``), not from the block's
            beginning: what was to happen then, and the block sees to it.
        """
        return _Timer(self, metric, since_ns)

    def abort(self, reason: str = "") -> None:
        """End the whole run; its exit code is 108."""
        raise ScriptAborted(reason)
