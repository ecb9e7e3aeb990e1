"""``ghostcore bench``: round trips at a constant rate over some connections, without a script.

Message j of the run is due at start + j / rate, whatever became of those before it, and goes over
connection j modulo their number: each connection has its own due times, evenly offset. A connection
has one message under way; the next one that is due waits for it, and its response time counts from
the moment at which it was due, as in wrk2. Its service time, from sending it, stands beside it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from ghostcore._units import format_duration, parse_duration, seconds_to_ns
from ghostcore.errors import InvalidPlan, ProtocolViolation, TargetError, Timeout, UsageError
from ghostcore.load import PerVUIterations
from ghostcore.metrics import Counter, Trend, parse
from ghostcore.opening.target import parse_target
from ghostcore.sessions.socketio_session import SocketIOSession
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.users.scenario import Scenario, scenario
from ghostcore.users.vu import VU

__all__ = ["RESPONSE_TIME", "SERVICE_TIME", "Bench", "Schedule", "make_bench"]

RESPONSE_TIME = Trend("response_time", unit="ms")
SERVICE_TIME = Trend("service_time", unit="ms")
DUE = Counter("messages_due")
SENT = Counter("messages_sent")
ANSWERED = Counter("messages_answered")

CONNECTS_PER_S = 1000
"""How fast connections are opened before the first message is due."""

CONNECT_TIMEOUT_S = 10.0
START_DELAY_NS = 10_000_000
LONGEST_WAIT_S = 5.0
"""Before a lost connection is opened again; the first wait is 0.1 s, the next twice as long."""

HELD = Fraction(99, 100)
"""The share of the messages that must be answered for the rate to have been held."""

MAX_CONNECTIONS = 1_000_000
MIN_RATE, MAX_RATE = 1e-6, 1_000_000
MAX_SIZE = 1 << 24


@dataclass(frozen=True, slots=True)
class Schedule:
    """When messages are due.

    :ivar rate: messages a second over all connections, more than 0.
    """

    rate: Fraction
    duration_ns: int
    connections: int

    @property
    def count(self) -> int:
        """Messages in all: those that are due before the end."""
        return math.ceil(self.rate * self.duration_ns / 10**9)

    def due_ns(self, number: int) -> int:
        """When a message is due, from the start."""
        return number * 10**9 * self.rate.denominator // self.rate.numerator

    def of(self, connection: int) -> range:
        """The numbers of the messages of a connection, both from 0."""
        return range(connection, self.count, self.connections)


@dataclass(frozen=True)
class Bench:
    """What to do.

    :ivar rate: messages a second over all connections; 0: each connection sends the next message
        when the last one is answered.
    :ivar event: Socket.IO: the event to be acknowledged; None: a plain WebSocket echo.
    :ivar timeout: that an answer may take.
    """

    url: str
    connections: int = 10
    rate: float = 100.0
    duration: float | str = 10.0
    size: int = 32
    timeout: float | str = 10.0
    event: str | None = None
    insecure: bool = False
    thresholds: Sequence[str] = ()

    def validate(self) -> list[str]:
        """Everything that is wrong with it."""
        problems = []
        if not 1 <= self.connections <= MAX_CONNECTIONS:
            problems.append(f"connections must be 1 to {MAX_CONNECTIONS}, got {self.connections}")
        if not (self.rate == 0 or MIN_RATE <= self.rate <= MAX_RATE):
            problems.append(
                f"the rate must be 0, or {MIN_RATE:g} to {MAX_RATE:,} messages a second, "
                f"got {self.rate!r}"
            )
        if not 1 <= self.size <= MAX_SIZE:
            problems.append(f"the size must be 1 to {MAX_SIZE} bytes, got {self.size}")
        for name, value in (("duration", self.duration), ("timeout", self.timeout)):
            try:
                if parse_duration(value, name) <= 0:
                    problems.append(f"the {name} must be more than 0, got {value!r}")
            except UsageError as error:
                problems.append(str(error))
        try:
            parse_target(self.url, socketio_path="/socket.io/" if self.event else None)
        except UsageError as error:
            problems.append(str(error))
        for threshold in self.thresholds:
            try:
                problems += parse(threshold).validate(SERVICE_TIME)
            except UsageError as error:
                problems.append(str(error))
        return problems

    @property
    def duration_s(self) -> float:
        """In seconds."""
        return parse_duration(self.duration, "duration")

    @property
    def timeout_s(self) -> float:
        """In seconds."""
        return parse_duration(self.timeout, "timeout")

    @property
    def pace(self) -> Schedule | None:
        """None for a rate of 0."""
        if not self.rate:
            return None
        rate = Fraction(self.rate).limit_denominator(10**6)
        return Schedule(rate, seconds_to_ns(self.duration_s), self.connections)


@dataclass(frozen=True)
class BenchLoad(PerVUIterations):
    """One iteration a connection: it is opened, and messages are exchanged to the end."""

    what: str = ""
    expected_s: float = 0.0

    @property
    def expected_ns(self) -> int:
        return seconds_to_ns(self.expected_s)

    def describe(self) -> str:
        return self.what


def make_bench(bench: Bench) -> Scenario:
    """The scenario.

    :raises InvalidPlan: with every problem.
    """
    problems = bench.validate()
    if problems:
        raise InvalidPlan(problems)
    pace = bench.pace
    shortest_s = bench.connections / CONNECTS_PER_S + bench.duration_s
    longest_s = shortest_s + CONNECT_TIMEOUT_S + 2 * bench.timeout_s + 1
    how = "as fast as answers come"
    thresholds: dict[Any, Sequence[str]] = {}
    if pace is not None:
        how = f"{bench.rate:,g} messages a second"
        thresholds[ANSWERED] = [f"count>={math.ceil(HELD * pace.count)}"]
    if bench.thresholds:
        thresholds[RESPONSE_TIME if pace is not None else SERVICE_TIME] = bench.thresholds
    load = BenchLoad(
        bench.connections,
        1,
        longest_s,
        graceful_stop=2,
        what=(
            f"{bench.connections:,} connections, {how} of {bench.size} bytes for "
            f"{format_duration(bench.duration_s)}"
        ),
        expected_s=shortest_s,
    )
    trends = [SERVICE_TIME] if pace is None else [RESPONSE_TIME, SERVICE_TIME]
    run = _Run(bench, pace)

    @scenario(load=load, name="bench", thresholds=thresholds, metrics=[*trends, ANSWERED])
    async def exchange(vu: VU) -> None:
        await run.connection(vu)

    return exchange


# ---- one kind of session and the other ----------------------------------------------------------


class Talk(Protocol):
    """What a round trip is."""

    async def open(self, vu: VU) -> Any:
        """A session that is known to answer."""

    async def round_trip(self, session: Any, payload: str) -> int:
        """Send a message and wait for its answer; returns when that arrived."""


class _Echo:
    """A server that returns every message."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def open(self, vu: VU) -> WebSocketSession:
        bench = self._bench
        session = await vu.connect(bench.url, timeout=CONNECT_TIMEOUT_S, insecure=bench.insecure)
        await self.round_trip(session, "echo?".ljust(bench.size)[: bench.size])
        return session

    async def round_trip(self, session: WebSocketSession, payload: str) -> int:
        session.send(payload)
        message = await session.recv(timeout=self._bench.timeout_s)
        if message.kind != "text" or message.text != payload:
            shown = repr(message.data[:40])
            raise ProtocolViolation(
                f"the server does not echo: {payload[:40]!r} was answered with {shown}. bench "
                "needs one that does (ghostcore serve-echo), or --socketio EVENT",
                url=session.url,
            )
        return message.arrived_ns


class _Acknowledged:
    """A Socket.IO server that acknowledges an event."""

    def __init__(self, bench: Bench, event: str) -> None:
        self._bench = bench
        self._event = event

    async def open(self, vu: VU) -> SocketIOSession:
        bench = self._bench
        session = await vu.socketio(bench.url, timeout=CONNECT_TIMEOUT_S, insecure=bench.insecure)
        await self.round_trip(session, "echo?".ljust(bench.size)[: bench.size])
        return session

    async def round_trip(self, session: SocketIOSession, payload: str) -> int:
        await session.call(self._event, payload, timeout=self._bench.timeout_s)
        return session.arrived_ns


# ---- the run ------------------------------------------------------------------------------------


@dataclass
class _Gate:
    """Lets all connections begin at the same moment, when each is open or has failed."""

    missing: int
    opened: int = 0
    start_ns: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, is_open: bool, now_ns: int) -> None:
        self.missing -= 1
        self.opened += is_open
        if self.missing == 0:
            self.start_ns = now_ns + START_DELAY_NS
            self.ready.set()


class _Run:
    def __init__(self, bench: Bench, pace: Schedule | None) -> None:
        self._bench = bench
        self._pace = pace
        self._gate = _Gate(bench.connections)
        self._talk: Talk = (
            _Echo(bench) if bench.event is None else _Acknowledged(bench, bench.event)
        )

    async def connection(self, vu: VU) -> None:
        gate, session, failure = self._gate, None, None
        vu.record(ANSWERED, 0)  # where nothing is answered, that is known
        await vu.sleep((vu.id - 1) / CONNECTS_PER_S)
        try:
            session = await self._talk.open(vu)
        except TargetError as error:
            failure = error
        gate.arrived(failure is None, vu._engine.now_ns())
        await gate.ready.wait()
        if failure is not None:
            if not gate.opened:
                raise failure
            vu._observer.target_error(failure)
        end_ns = gate.start_ns + seconds_to_ns(self._bench.duration_s)
        one = _Connection(self._bench, vu, self._talk, session, end_ns)
        if self._pace is None:
            await one.flood(gate.start_ns)
        else:
            await one.keep(self._pace, gate.start_ns)


class _Connection:
    """One of them: exchanges its messages, and opens itself anew when it is lost."""

    def __init__(self, bench: Bench, vu: VU, talk: Talk, session: Any, end_ns: int) -> None:
        self._bench = bench
        self._vu = vu
        self._talk = talk
        self._session = session
        self._end_ns = end_ns
        self._observer = vu._observer
        self._timers = vu._engine.timers

    async def keep(self, pace: Schedule, start_ns: int) -> None:
        """Send every message of this connection when it is due, or as soon after as can be."""
        vu, timers, width = self._vu, self._timers, self._bench.size
        numbers = pace.of(vu.id - 1)
        done = 0
        try:
            for number in numbers:
                due_ns = start_ns + pace.due_ns(number)
                waits = timers.now_ns() < due_ns
                if waits:
                    await timers.sleep_until(due_ns)
                # One that is due just before the end, on a connection that waits for it, goes out
                # even if this process wakes up a moment after the end.
                if not (waits and self._has_session()) and not await self._is_open():
                    return
                done += 1
                vu.record(DUE)
                vu.record(SENT)
                payload = str(number).rjust(width, "0")[-width:]
                sent_ns = timers.now_ns()
                try:
                    arrived_ns = await self._talk.round_trip(self._session, payload)
                except BaseException as error:
                    self._lost(error, {RESPONSE_TIME: due_ns, SERVICE_TIME: sent_ns})
                    if not isinstance(error, TargetError):
                        raise
                    continue
                self._observer.sample(RESPONSE_TIME, arrived_ns - due_ns)
                self._observer.sample(SERVICE_TIME, arrived_ns - sent_ns)
                vu.record(ANSWERED)
        finally:
            self._give_up(start_ns + pace.due_ns(number) for number in numbers[done:])

    async def flood(self, start_ns: int) -> None:
        """Send the next message when the last one is answered."""
        await self._timers.sleep_until(start_ns)
        payload = "echo!".ljust(self._bench.size)[: self._bench.size]
        while await self._is_open():
            if isinstance(self._session, WebSocketSession):
                await self._flood_echo(self._session, payload)
                continue
            sent_ns = self._timers.now_ns()
            try:
                arrived_ns = await self._talk.round_trip(self._session, payload)
            except BaseException as error:
                self._lost(error, {SERVICE_TIME: sent_ns})
                if not isinstance(error, TargetError):
                    raise
                continue
            self._observer.sample(SERVICE_TIME, arrived_ns - sent_ns)
            self._vu.record(ANSWERED)

    async def _flood_echo(self, session: WebSocketSession, payload: str) -> None:
        """The same by the engine alone, which records what has no answer as well."""
        loop = session.echo_loop(
            payload,
            duration=max(1, self._end_ns - self._timers.now_ns()) / 1e9,
            timeout=self._bench.timeout_s,
            metric=SERVICE_TIME,
        )
        try:
            await loop
        except TargetError as error:
            self._lost(error, {})
        finally:
            self._vu.record(ANSWERED, loop.round_trips)

    async def _is_open(self) -> bool:
        """Whether there is still time to send, over a connection that is open now."""
        wait_s = 0.1
        while self._timers.now_ns() < self._end_ns:
            if self._has_session():
                return True
            try:
                self._session = await self._talk.open(self._vu)
            except TargetError as error:
                self._observer.target_error(error)
                await self._vu.sleep(wait_s * self._vu.random.uniform(0.5, 1.0))
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return False

    def _has_session(self) -> bool:
        """Whether the connection is open; one that ended while nothing was under way is counted."""
        session = self._session
        if session is None or session.is_open:
            return session is not None
        self._session = None
        lost = session._take_unseen_error()
        if lost is not None:
            self._observer.target_error(lost)
        return False

    def _lost(self, error: BaseException, since_ns: dict[Trend, int]) -> None:
        """A message that was sent has no answer."""
        now_ns, observer = self._timers.now_ns(), self._observer
        for metric, from_ns in since_ns.items():
            if isinstance(error, Timeout):
                observer.cut_off(metric, now_ns - from_ns, "deadline")
            elif isinstance(error, TargetError):
                observer.failed(metric)
            else:
                observer.cut_off(metric, now_ns - from_ns, observer.cancel_cause())
        if isinstance(error, TargetError):
            observer.target_error(error)
        session, self._session = self._session, None
        session.abort()

    def _give_up(self, dues_ns: Iterable[int]) -> None:
        """Messages that were due and not sent: they would have taken at least until now, or for
        ever where there is no connection."""
        now_ns = self._timers.now_ns()
        for due_ns in dues_ns:
            if due_ns > now_ns:
                return  # the run was stopped before its end
            self._vu.record(DUE)
            if self._session is None:
                self._observer.failed(RESPONSE_TIME)
            else:
                self._observer.cut_off(RESPONSE_TIME, now_ns - due_ns, "end")
