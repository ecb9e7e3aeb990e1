"""A sink for the metrics of a scenario that records its calls in order."""

from __future__ import annotations

from typing import Any

from ghostcore._engine import Traffic
from ghostcore.users.scenario_sink import ScenarioSink

__all__ = ["CallLog"]


class CallLog:
    """Stands in for a ScenarioSink: keeps each call as (name of the method, argument, ...).

    :param cause: what ``cancel_cause()`` says.
    """

    scenario = "play"

    def __init__(self, cause: str = "end") -> None:
        self.traffic = Traffic()
        self.cause = cause
        self.calls: list[tuple[Any, ...]] = []

    def cancel_cause(self) -> str:
        return self.cause

    def trend(self, metric: Any) -> None:
        """No series is recorded in C."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(ScenarioSink, name):
            raise AttributeError(f"a ScenarioSink has no {name}")

        def keep(*arguments: Any) -> None:
            self.calls.append((name, *arguments))

        return keep

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        """The calls of these methods so far."""
        return [call for call in self.calls if call[0] in names]
