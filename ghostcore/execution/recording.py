"""The recorder of one scenario on one worker: from what users do to series of metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from ghostcore._engine import Traffic
from ghostcore._tracebacks import script_line
from ghostcore.errors import (
    DATA_EXHAUSTED,
    OWN_KINDS,
    SCRIPT_ERROR,
    ClosedByPeer,
    DataExhausted,
    HandshakeRejected,
    Phase,
    ProtocolViolation,
    TargetError,
    UsageError,
)
from ghostcore.execution.session_counters import SessionCounters
from ghostcore.loop.vitals import Vitals
from ghostcore.metrics import Trend, from_due
from ghostcore.metrics.recorders import (
    CounterRecorder,
    GaugeRecorder,
    RateRecorder,
    TrendRecorder,
)
from ghostcore.metrics.registry import AnyRecorder, Registry
from ghostcore.results.record import ErrorSample
from ghostcore.sessions.observer import Report
from ghostcore.sessions.session import Session

__all__ = ["SAMPLES_PER_KIND", "TCP_PER_WINDOW", "ErrorLog", "NetworkRecorder", "ScenarioRecorder"]

SAMPLES_PER_KIND = 5
"""Errors of a kind that are kept with their text; all are counted."""

CONNECTING = "ws_connecting"

TCP_PER_WINDOW = 100
"""Connections that are asked for their TCP figures when they end, in each window at the most: a
system call each."""

PHASES = {
    Phase.DNS: "ws_dns",
    Phase.TCP: "ws_tcp",
    Phase.TLS: "ws_tls",
    Phase.UPGRADE: "ws_upgrade",
    Phase.ENGINEIO_OPEN: "engineio_open",
    Phase.SOCKETIO_CONNECT: "socketio_connect",
}
"""The metric of each phase of opening a session."""


def code_of(error: TargetError) -> int | None:
    """What a server gave as a number: the close code, or the HTTP status."""
    if isinstance(error, ClosedByPeer | ProtocolViolation):
        return error.code
    if isinstance(error, HandshakeRejected):
        return error.status or None
    return None


class ErrorLog:
    """Samples of errors of one worker, a few of each kind."""

    def __init__(self, now_ns: Callable[[], int], start_ns: int) -> None:
        self._now_ns = now_ns
        self._start_ns = start_ns
        self._kept: dict[tuple[str, str], int] = {}
        self._fresh: list[ErrorSample] = []

    def wants(self, scenario: str, kind: str) -> bool:
        """Whether there are not enough of that kind yet. Ask before putting a text together."""
        return self._kept.get((scenario, kind), 0) < SAMPLES_PER_KIND

    def add(
        self,
        scenario: str,
        kind: str,
        text: str,
        phase: str = "",
        elapsed_ms: float = float("nan"),
        age_s: float = float("nan"),
        code: int | None = None,
    ) -> None:
        """Keep an error if there are not enough of its kind yet."""
        if not self.wants(scenario, kind):
            return
        key = (scenario, kind)
        self._kept[key] = self._kept.get(key, 0) + 1
        at_s = (self._now_ns() - self._start_ns) / 1e9
        self._fresh.append(ErrorSample(scenario, kind, text, phase, elapsed_ms, at_s, age_s, code))

    def take(self) -> list[ErrorSample]:
        """The errors kept since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh


class ScenarioRecorder:
    """A ``ScenarioSink`` of users: every sample carries the scenario's name and tags."""

    def __init__(
        self,
        scenario: str,
        tags: Mapping[str, str],
        registry: Registry,
        errors: ErrorLog,
        on_abort: Callable[[str], None],
        cancel_cause: Callable[[], str],
    ) -> None:
        self.scenario = scenario
        self.traffic = Traffic()
        self.active = 0
        self.ever_active = 0
        self._tags = {**tags, "scenario": scenario}
        self._registry = registry
        self._errors = errors
        self._on_abort = on_abort
        self._cancel_cause = cancel_cause
        self._by_metric: dict[Any, AnyRecorder] = {}
        self._phases = {phase: self._trend(metric) for phase, metric in PHASES.items()}
        self._duration = self._trend("ws_session_duration")
        self._iteration_duration = self._trend("iteration_duration")
        self._iteration_lateness = self._trend("iteration_lateness")
        self._iteration_response = self._trend("iteration_response_time")
        self._from_due: dict[Any, TrendRecorder] = {}
        # Metrics of the operation that starts of an arrival model begin with, as of the latest one.
        self._first_step: tuple[Any, ...] = ()
        self._counters = {
            name: cast(CounterRecorder, self._resolve(name))
            for name in (
                "ws_sessions",
                "ws_sessions_opened",
                "iterations",
                "iterations_started",
                "iterations_failed",
                "iterations_interrupted",
                "dropped_iterations",
                "ws_msgs_sent",
                "ws_msgs_received",
                "ws_msgs_missed",
                "data_sent",
                "data_received",
                "events_discarded",
                *(own.counter for own in OWN_KINDS.values()),
            )
        }
        self._iterations_started = self._counters["iterations_started"]
        self._session_counters = SessionCounters(
            self._counters["ws_sessions"],
            cast(CounterRecorder, self._resolve("ws_errors")),
            self._counters["ws_sessions_opened"],
            self._phases[Phase.TCP],
            self._phases[Phase.UPGRADE],
            self._trend(CONNECTING),
        )
        self._vus = cast(GaugeRecorder, self._resolve("vus"))
        self._vus_max = cast(GaugeRecorder, self._resolve("vus_max"))

    # ---- of metrics that the scenario declares ------------------------------------------------

    def _resolve(self, metric: Any, extra: Mapping[str, str] | None = None) -> AnyRecorder:
        if not extra:
            found = self._by_metric.get(metric)
            if found is None:
                found = self._registry.recorder(metric, self._tags)
                self._by_metric[metric] = found
            return found
        return self._registry.recorder(metric, {**self._tags, **extra})

    def _trend(self, metric: Any) -> TrendRecorder:
        found = self._resolve(metric)
        if not isinstance(found, TrendRecorder):
            raise UsageError(f"{metric} is no Trend: times of operations need one")
        return found

    def trend(self, metric: Any) -> TrendRecorder:
        return self._trend(metric)

    def _response(self, metric: Any) -> TrendRecorder:
        """The series of a Trend's operations that counts from when they were due."""
        found = self._from_due.get(metric)
        if found is None:
            name = metric if isinstance(metric, str) else metric.name
            self._trend(metric)  # declares it, and refuses what is no Trend
            declared = cast(Trend, self._registry.declarations[name])
            found = self._from_due[metric] = self._trend(from_due(declared))
        return found

    def operation_begins(self, at_ns: int, *metrics: Any) -> Report:
        return self  # what is due is a user's own matter

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        self._trend(metric).record_ns(elapsed_ns)

    def failed(self, metric: Any) -> None:
        self._trend(metric).fail()

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        self._trend(metric).cut_off_ns(elapsed_ns, cause)

    def sample_from_due(self, metric: Any, elapsed_ns: int) -> None:
        self._response(metric).record_ns(elapsed_ns)

    def failed_from_due(self, metric: Any) -> None:
        self._response(metric).fail()

    def cut_off_from_due(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        self._response(metric).cut_off_ns(elapsed_ns, cause)

    def record(self, metric: Any, value: float, tags: Mapping[str, str]) -> None:
        recorder = self._resolve(metric, tags)
        try:
            if isinstance(recorder, CounterRecorder):
                recorder.add(value)
            elif isinstance(recorder, TrendRecorder):
                recorder.record(value)
            elif isinstance(recorder, RateRecorder):
                recorder.add(bool(value))
            else:
                recorder.set(value)
        except (TypeError, ValueError) as error:
            raise UsageError(f"record({metric}, {value!r}): {error}") from None

    def check(self, name: str, passed: bool) -> None:
        cast(RateRecorder, self._resolve("checks", {"check": name})).add(passed)

    # ---- of sessions --------------------------------------------------------------------------

    def cancel_cause(self) -> str:
        return self._cancel_cause()

    def phase(self, name: Phase, elapsed_ns: int) -> None:
        self._phases[name].record_ns(elapsed_ns)

    def dialing(self) -> None:
        self._session_counters.dialing()

    def opened(self, session: Session, tcp_ns: int) -> None:
        self._session_counters.opened(session, tcp_ns)

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        if cause is None:
            self.failed(CONNECTING)
        else:
            self.cut_off(CONNECTING, elapsed_ns, cause)

    def ended(self, session: Session) -> None:
        self._duration.record_ns(session.closed_ns - session.dialed_ns)

    # ---- of iterations ------------------------------------------------------------------------

    def iteration_started(self) -> None:
        self._iterations_started.add(1)

    def iteration_late(self, late_ns: int) -> None:
        self._iteration_lateness.record_ns(late_ns)

    def iteration_ended(self, elapsed_ns: int, failed: bool) -> None:
        self._counters["iterations"].add(1)
        self._iteration_duration.record_ns(elapsed_ns)
        if failed:
            self._counters["iterations_failed"].add(1)

    def iteration_interrupted(self, elapsed_ns: int) -> None:
        self._counters["iterations_interrupted"].add(1)

    def response_ended(self, elapsed_ns: int, failed: bool) -> None:
        if failed:
            self._iteration_response.fail()
        else:
            self._iteration_response.record_ns(elapsed_ns)

    def response_cut_off(self, elapsed_ns: int) -> None:
        self._iteration_response.cut_off_ns(elapsed_ns, self._cancel_cause())

    def dropped(self, count: int) -> None:
        """Starts that were due and will not be made."""
        self._counters["dropped_iterations"].add(count)

    def first_step(self, metrics: tuple[Any, ...]) -> None:
        self._first_step = metrics

    def start_cut_off(self, elapsed_ns: int) -> None:
        self._iteration_response.cut_off_ns(elapsed_ns, "dropped")
        for metric in self._first_step:
            if metric is not None:
                self._response(metric).cut_off_ns(elapsed_ns, "dropped")

    def ticks_cut_off(
        self, metrics: tuple[Any, ...], elapsed_ns: int, step_ns: int, count: int, cause: str
    ) -> None:
        for metric in metrics:
            if metric is not None:
                self._response(metric).cut_off_every_ns(elapsed_ns, step_ns, count, cause)

    def created(self, count: int) -> None:
        """That many users exist, running or not."""
        self.ever_active = max(self.ever_active, count)
        self._vus_max.set(self.ever_active)

    def users(self, change: int) -> None:
        self.active = active = self.active + change
        self._vus.set(active)
        if active > self.ever_active:
            self.ever_active = active
            self._vus_max.set(active)

    # ---- of what went wrong -------------------------------------------------------------------

    def target_error(self, error: TargetError) -> None:
        cast(CounterRecorder, self._resolve("ws_errors", {"kind": error.kind})).add(1)
        if self._errors.wants(self.scenario, error.kind):
            self._errors.add(
                self.scenario,
                error.kind,
                str(error),
                error.phase,
                error.elapsed_ms,
                error.age_s,
                code_of(error),
            )

    def script_error(self, error: BaseException) -> None:
        self._count_own(SCRIPT_ERROR)
        if not self._errors.wants(self.scenario, SCRIPT_ERROR):
            return
        if isinstance(error, asyncio.CancelledError):
            text = "a cancellation that the script made itself left the scenario"
        else:
            text = f"{type(error).__name__}: {error}"
        where = script_line(error)
        self._errors.add(self.scenario, SCRIPT_ERROR, f"{where}: {text}" if where else text)

    def data_exhausted(self, error: DataExhausted) -> None:
        self._count_own(DATA_EXHAUSTED)
        self._errors.add(self.scenario, DATA_EXHAUSTED, str(error))

    def _count_own(self, kind: str) -> None:
        self._counters[OWN_KINDS[kind].counter].add(1)

    def aborted(self, reason: str) -> None:
        self._on_abort(reason)

    # ---- once a second ------------------------------------------------------------------------

    def flush(self) -> None:
        """Bring what is counted in C into the metrics."""
        sent, received, bytes_sent, bytes_received, discarded = self.traffic.take()
        counters = self._counters
        for name, amount in (
            ("ws_msgs_sent", sent),
            ("ws_msgs_received", received),
            ("data_sent", bytes_sent),
            ("data_received", bytes_received),
            ("events_discarded", discarded),
        ):
            if amount:
                counters[name].add(amount)
        missed = self.traffic.take_missed()
        if missed is not None:  # 0 is something known
            counters["ws_msgs_missed"].add(missed)


class NetworkRecorder:
    """The network's part in the latencies of one worker, from connections of the epoll link."""

    def __init__(self, vitals: Vitals, registry: Registry) -> None:
        self._vitals = vitals
        self._rtt = cast(TrendRecorder, registry.recorder("tcp_rtt", {}))
        self._retransmits = cast(CounterRecorder, registry.recorder("tcp_retransmits", {}))
        vitals.take_tcp(TCP_PER_WINDOW)  # throw away the figures of an earlier run on the same loop

    def flush(self) -> None:
        """Record the kernel's figures of connections that have ended since the last call."""
        for rtt_us, retransmits in self._vitals.take_tcp(TCP_PER_WINDOW):
            self._rtt.record_ns(rtt_us * 1000)
            self._retransmits.add(retransmits)

    def close(self) -> None:
        """Ask the kernel about no more connections."""
        self._vitals.take_tcp(0)
