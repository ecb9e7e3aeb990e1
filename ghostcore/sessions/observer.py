"""To whom sessions report, and what ends a block that has one."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self

from ghostcore._engine import Traffic
from ghostcore.errors import Phase, TargetError
from ghostcore.metrics.recorders import TrendRecorder
from ghostcore.sessions.session import Session

__all__ = ["NullObserver", "Observer", "Report", "SessionBlock", "leave"]


class Report(Protocol):
    """Where an operation that has begun tells how it ended."""

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        """The operation was answered after that time."""

    def failed(self, metric: Any) -> None:
        """The operation failed and will never be answered."""

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        """The operation was given up after that time; the cause is one of TrendState.cut_off."""

    def opened(self, session: Session, tcp_ns: int) -> None:
        """The 101 arrived, after that time for the TCP connection."""

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        """No 101 came: the attempt failed, or was cut off for that cause."""


class Observer(Report, Protocol):
    """Where sessions report to: the metrics of a run, or nowhere."""

    @property
    def traffic(self) -> Traffic:
        """What the sessions of a scenario count into."""
        ...

    def operation_begins(self, at_ns: int, *metrics: Any) -> Report:
        """An operation begins; those of its metrics that are None do not count.

        :returns: where the operation reports its end. Where it is the first step of something that
            was due, that place knows by how much it is late.
        """
        ...

    def trend(self, metric: Any) -> TrendRecorder | None:
        """Where code in C records such operations by itself; None: nowhere.

        :raises UsageError: the metric is no Trend.
        """
        ...

    def cancel_cause(self) -> str:
        """Why an operation that is being cancelled now is cut off."""
        ...

    def phase(self, name: Phase, elapsed_ns: int) -> None:
        """A phase of opening a session took that long; tcp and upgrade come with opened()."""

    def dialing(self) -> None:
        """A session is about to be opened."""

    def ended(self, session: Session) -> None:
        """A session that was opened has ended."""

    def target_error(self, error: TargetError) -> None:
        """An error of the server's that no operation of the scenario will raise."""

    def script_error(self, error: BaseException) -> None:
        """A handler of the scenario's failed."""


class NullObserver:
    """The observer outside of a run: nothing is recorded."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def _ignore(self, *_: Any) -> None:
        pass

    sample = failed = cut_off = phase = _ignore
    dialing = opened = not_opened = ended = target_error = _ignore

    def trend(self, metric: Any) -> TrendRecorder | None:
        return None

    def operation_begins(self, at_ns: int, *metrics: Any) -> Report:
        return self

    def cancel_cause(self) -> str:
        return "deadline"

    def script_error(self, error: BaseException) -> None:
        context = {"message": "an event handler failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


async def leave(session: Session, observer: Observer, error: BaseException | None) -> None:
    """The end of a block that had the session: say goodbye, and let no loss go unnoticed.

    If the server ended the session meanwhile and no operation has told the scenario, that error is
    raised: a connection that was lost while its user slept must not pass for one that held.

    :param error: what ends the block, None if it came to its end.
    """
    if session.is_open:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            session._take_leave()  # what says so is out; nobody has time to wait for the answer
        else:
            await session._take_leave()
    lost = session._take_unseen_error()
    if lost is None:
        return
    if error is None:
        raise lost
    observer.target_error(lost)


class SessionBlock:
    """What sessions of both kinds do in Python: ``async with session:`` (see :func:`leave`), and
    telling the run of pings."""

    __slots__ = ()

    _observer: Observer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert isinstance(self, Session)
        await leave(self, self._observer, error)

    def _on_ping(self, elapsed_ns: int, end: str) -> None:
        observer = self._observer
        if not end:
            observer.sample("ws_ping", elapsed_ns)
        elif end == "lost":
            observer.failed("ws_ping")
        else:
            cause = observer.cancel_cause() if end == "cancelled" else end
            observer.cut_off("ws_ping", elapsed_ns, cause)
