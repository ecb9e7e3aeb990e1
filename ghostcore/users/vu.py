"""The virtual user: what a scenario is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Unpack

from ghostcore._engine import Engine
from ghostcore._random import Random
from ghostcore._units import parse_duration, seconds_to_ns
from ghostcore.errors import ScriptAborted, UsageError
from ghostcore.opening.connect import Connector
from ghostcore.opening.opening import Opening
from ghostcore.opening.options import OpeningOptions
from ghostcore.opening.route import Routes
from ghostcore.sessions.observer import Report
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.users.feeder import Feed, Feeder
from ghostcore.users.observer import UserObserver
from ghostcore.users.ticks import Ticks

__all__ = ["START_SHIFT", "VU", "Scope"]

START_SHIFT = 32
"""In a closed model a start is keyed by slot and iteration: ``(slot << START_SHIFT) + iteration``.
Elsewhere the key is the number of the start."""


_CUT_OFF = (TimeoutError, asyncio.CancelledError, GeneratorExit, ScriptAborted)


class _Timer:
    """What ``vu.timer()`` returns."""

    __slots__ = ("_metric", "_report", "_since_ns", "_start_ns", "_vu")

    def __init__(self, vu: VU, metric: Any, since_ns: int | None) -> None:
        self._vu = vu
        self._metric = metric
        self._since_ns = since_ns
        self._start_ns = 0
        self._report: Report = vu._observer

    def __enter__(self) -> None:
        since_ns = self._since_ns
        self._start_ns = self._vu._engine.now_ns() if since_ns is None else since_ns
        self._report = self._vu._observer.operation_begins(self._start_ns, self._metric)

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
            self._report.sample(self._metric, last_ns - self._start_ns)
        elif isinstance(error, _CUT_OFF):
            # A deadline of ghostcore's, or of asyncio.timeout() in the block.
            cause = "deadline" if isinstance(error, TimeoutError) else observer.cancel_cause()
            if isinstance(error, ScriptAborted):
                cause = "interrupted"
            self._report.cut_off(self._metric, now_ns - self._start_ns, cause)
        else:
            self._report.failed(self._metric)


@dataclass(frozen=True, slots=True)
class Scope:
    """What all users of a scenario share.

    :ivar data: what the run's set-up returned.
    :ivar feeds: rows by the feeder that gives them.
    :ivar stride: in a closed model its most users: iteration n of slot k is start k + n * stride.
        0 where a start's key is its number.
    :ivar connector: opens the sessions of its users.
    """

    scenario: str
    env: Mapping[str, str]
    data: Any = None
    feeds: Mapping[Feeder, Feed] = field(default_factory=dict)
    stride: int = 0
    connector: Connector = field(default_factory=lambda: Connector(Routes()))

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
    ) -> Opening[WebSocketSession]:
        """Open a plain WebSocket session: see :func:`ghostcore.connect`."""
        return self._scope.connector.connect(url, metric, self._observer, options)

    def socketio(
        self,
        url: str,
        *,
        auth: Any = None,
        namespace: str = "/",
        path: str = "/socket.io/",
        metric: Any = None,
        **options: Unpack[OpeningOptions],
    ) -> Opening[SocketIOSession]:
        """Open a Socket.IO session: see :func:`ghostcore.socketio`."""
        return self._scope.connector.socketio(
            url, auth, namespace, path, metric, self._observer, options
        )

    def sleep(self, duration: float | str) -> Awaitable[None]:
        """Sleep for `duration` (seconds, or "200ms"), never shorter. Awaitable."""
        if type(duration) is not float:
            duration = parse_duration(duration, "sleep")
        if self._observer.due is not None:
            self._observer.operation_begins(self._engine.now_ns())
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
        """Count a check under its name, and return whether it passed; the iteration goes on."""
        held = bool(passed)
        self._observer.recorder.check(name, held)
        return held

    def record(self, metric: Any, value: float = 1, **tags: str) -> None:
        """Record a value of a metric (or of a built-in one by its name), with more tags: an amount
        of a Counter, a sample of a Trend (in its unit), a Gauge's level, True or False for a Rate.

        :raises UsageError: no metric has that name, or the value does not fit the metric.
        """
        self._observer.recorder.record(metric, value, tags)

    def timer(self, metric: Any, *, since_ns: int | None = None) -> _Timer:
        """``with vu.timer(METRIC):`` records how long the block took, up to the arrival of the last
        frame in it. A block that fails counts as infinite, one that is cut off as at least its
        time.

        :param metric: a Trend, or its name, whose unit is one of time.
        :param since_ns: count from that moment (``time.monotonic_ns()``), not from the block's
            beginning: for something that was due or happened then, and that the block waits for.
        :raises UsageError: at the end of the block: the metric is no Trend.
        :raises ValueError: at the end of the block: the unit of the Trend is none of time.
        """
        return _Timer(self, metric, since_ns)

    def abort(self, reason: str = "") -> None:
        """End the whole run, with exit code 108: raises ScriptAborted, which must not be caught."""
        raise ScriptAborted(reason)
