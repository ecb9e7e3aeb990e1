"""An observer that keeps what it is told, in order, and by which of its two roles."""

from __future__ import annotations

from typing import Any

from ghostcore._engine import Traffic
from ghostcore.errors import Phase, TargetError
from ghostcore.metrics.recorders import TrendRecorder
from ghostcore.sessions.observer import Report
from ghostcore.sessions.session import Session

__all__ = ["METRIC", "Noting"]

METRIC = object()
"""The only metric that it takes."""


class Noting:
    """An observer, or the report of an operation of its: keeps what it is told, in order."""

    def __init__(self, said: list[tuple[Any, ...]] | None = None, who: str = "observer") -> None:
        self.said: list[tuple[Any, ...]] = [] if said is None else said
        self.traffic = Traffic()
        self._who = who

    def _note(self, what: str, *more: Any) -> None:
        self.said.append((self._who, what, *more))

    def trend(self, metric: Any) -> TrendRecorder | None:
        assert metric is METRIC
        self._note("trend")
        return None

    def dialing(self) -> None:
        self._note("dialing")

    def operation_begins(self, at_ns: int, *metrics: Any) -> Report:
        assert metrics[1] in (METRIC, None)
        self._note("begins", metrics[0])
        return Noting(self.said, "report")

    def phase(self, name: Phase, elapsed_ns: int) -> None:
        assert elapsed_ns >= 0
        self._note("phase", name.value)

    def opened(self, session: Session, tcp_ns: int) -> None:
        assert session.opened_ns >= session.dialed_ns + tcp_ns > session.dialed_ns
        self._note("opened")

    def not_opened(self, elapsed_ns: int, cause: str | None) -> None:
        assert elapsed_ns > 0
        self._note("not_opened", cause)

    def sample(self, metric: Any, elapsed_ns: int) -> None:
        assert metric is METRIC and elapsed_ns > 0
        self._note("sample")

    def failed(self, metric: Any) -> None:
        assert metric is METRIC
        self._note("failed")

    def cut_off(self, metric: Any, elapsed_ns: int, cause: str) -> None:
        assert metric is METRIC and elapsed_ns > 0
        self._note("cut_off", cause)

    def cancel_cause(self) -> str:
        return "interrupted"

    def ended(self, session: Session) -> None:
        self._note("ended")

    def target_error(self, error: TargetError) -> None:
        self._note("target_error", error.kind)

    def script_error(self, error: BaseException) -> None:
        self._note("script_error", error)
