"""What the sessions of one user report to."""

from __future__ import annotations

from typing import Any

from ghostcore._engine import Traffic
from ghostcore.errors import DataExhausted, Phase, ScriptAborted, TargetError
from ghostcore.metrics.recorders import TrendRecorder
from ghostcore.sessions.observer import Report
from ghostcore.sessions.session import Session
from ghostcore.users.scenario_sink import ScenarioSink
from ghostcore.users.ticks import Pace

__all__ = ["SESSIONS_KEPT", "UserObserver"]

SESSIONS_KEPT = 16
"""Sessions of an iteration that are remembered before those that have ended are sorted out."""


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

    def __init__(self, recorder: ScenarioSink, index: int = 0) -> None:
        self.recorder = recorder
        self.index = index
        # Most users have one session: a list is made for those that have more.
        self._session: Session | None = None
        self._others: list[Session] | None = None
        # Errors that were counted, by identity. The errors themselves are kept, since the id of an
        # error that is gone may be given to another.
        self._reported: dict[int, TargetError] | None = None
        self._trim_at = SESSIONS_KEPT
        # What the next operation is the first step of: a start that was due at this time in ns, or
        # the current tick of this vu.every() loop. None: nothing is due.
        self.due: int | Pace | None = None
        self.failed_attempts = 0
        self.held_any = False
        self.interrupting = False

    @property
    def traffic(self) -> Traffic:
        return self.recorder.traffic

    @property
    def sessions(self) -> list[Session]:
        """Sessions of the iteration so far; of many that have ended some are left out."""
        first = [] if self._session is None else [self._session]
        return first + self._others if self._others else first

    def cancel_cause(self) -> str:
        return self.recorder.cancel_cause() if self.interrupting else "deadline"

    def operation_begins(self, at_ns: int, *metrics: Any) -> Report:
        due = self.due
        if due is None:
            return self
        if isinstance(due, int):
            self.due = None
            self.recorder.first_step(metrics)
            return _LateReport(self, at_ns - due)
        while due is not None and due.left_ns:  # the script has left that loop for other things
            due = due.outer
        self.due = due
        late_ns = -1 if due is None else due.lateness_of(at_ns, metrics)
        return self if late_ns < 0 else _LateReport(self, late_ns)

    def opened(self, session: Session, tcp_ns: int) -> None:
        if self._session is None:
            self._session = session
        elif self._others is None:
            self._others = [session]
        else:
            if len(self._others) >= self._trim_at:
                # Of a user that reconnects for ever, sessions are kept that live, or whose error
                # nobody has seen.
                others = self._others
                self.held_any = self.held_any or any(one._got_service() for one in others)
                self._others = [one for one in others if one._is_linked or one._has_unseen_error]
                self._trim_at = max(SESSIONS_KEPT, 2 * len(self._others))
            self._others.append(session)
        self.recorder.opened(session, tcp_ns)

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        self.failed_attempts += 1
        self.recorder.not_opened(elapsed_ns, cause)

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        self.recorder.sample(metric, elapsed_ns)

    def trend(self, metric: Any) -> TrendRecorder | None:
        return self.recorder.trend(metric)

    def failed(self, metric: Any) -> None:
        self.recorder.failed(metric)

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        self.recorder.cut_off(metric, elapsed_ns, cause)

    def phase(self, name: Phase, elapsed_ns: int) -> None:
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
            # A script that breaks before it has opened anything must back off like a refused one.
            self.failed_attempts += 1
        return exhausted

    def cut_off_missed_ticks(self, now_ns: int, cause: str) -> None:
        """Cut off the ticks that were due in the loops that the end of the iteration cut short."""
        due, self.due = self.due, None
        while isinstance(due, Pace):
            waited_ns, count = due.missed_ticks(now_ns)
            if count:
                self.recorder.ticks_cut_off(due.metrics, waited_ns, due.period_ns, count, cause)
            due = due.outer

    def close_sessions(self) -> tuple[list[Session], bool]:
        """The iteration is over: close what it left open, count what it never learned of.

        :returns: the sessions whose connections have not ended yet; whether one of the others had
            ended by an error that the iteration did not learn of.
        """
        sessions, lost_any = self.sessions, False
        for session in sessions:
            if not session.is_closed:
                session._take_leave()
            lost = session._take_unseen_error()
            if lost is not None:
                self.failed_with(lost)
                lost_any = True
            self.held_any = self.held_any or session._got_service()
        if sessions and not self.held_any:
            self.failed_attempts += 1
        self._session = self._others = self._reported = None
        return [one for one in sessions if one._is_linked], lost_any


class _LateReport:
    """Where the first operation of something that was due reports: its response time counts from
    then as well."""

    __slots__ = ("_late_ns", "_observer")

    def __init__(self, observer: UserObserver, late_ns: int) -> None:
        self._observer = observer
        self._late_ns = late_ns

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        recorder = self._observer.recorder
        recorder.sample(metric, elapsed_ns)
        recorder.sample_from_due(metric, elapsed_ns + self._late_ns)

    def failed(self, metric: Any) -> None:
        recorder = self._observer.recorder
        recorder.failed(metric)
        recorder.failed_from_due(metric)

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        recorder = self._observer.recorder
        recorder.cut_off(metric, elapsed_ns, cause)
        recorder.cut_off_from_due(metric, elapsed_ns + self._late_ns, cause)

    def opened(self, session: Session, tcp_ns: int) -> None:
        observer = self._observer
        observer.opened(session, tcp_ns)
        connecting_ns = session.opened_ns - session.dialed_ns
        observer.recorder.sample_from_due("ws_connecting", connecting_ns + self._late_ns)

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        observer = self._observer
        observer.not_opened(elapsed_ns, cause)
        if cause is None:
            observer.recorder.failed_from_due("ws_connecting")
        else:
            waited_ns = elapsed_ns + self._late_ns
            observer.recorder.cut_off_from_due("ws_connecting", waited_ns, cause)
