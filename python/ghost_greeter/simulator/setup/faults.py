"""Faults on request: what a server does that is at its limits. All can be changed while it runs.

========================  ==========================================================================
``latency``               time that every event takes over, or those in ``latency_events``
``redis_latency``         Redis mode: time that every round trip to Redis takes on top
``redis_down``            Redis mode: events are not answered, /health /ready 503, /metrics 500
``drop``                  share of packets that are never sent, of all events or ``drop_events``
``rate_limits``           uses a window by event, in either mode, instead of the server's own limits
``connection_limit``      connections at once; what is more gets ``over_limit``: ``503``, ``reset``,
                          or ``hang`` (accepted and never answered)
``connect_latency``       time from a connection's upgrade request to the answer
``latency_from``          connections of a replica from which on these three latencies apply: a
                          server that gets slow at a certain load
``lifetime``              time after which a connection breaks (1006), drawn when it comes
``memory_base``           memory reported at the start, in MB (instead of the process's own)
``memory_per_connection`` KB reported for each open connection
``memory_leak``           KB that each connection leaves behind when it has gone
``memory_growth``         MB reported per hour, whatever happens
========================  ==========================================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ghost_greeter.simulator.setup.distribution import Distribution
from ghost_greeter.simulator.setup.rates import EVENT_LIMITS
from ghostcore import UsageError

__all__ = ["OVER_LIMIT", "Faults"]

OVER_LIMIT = ("503", "reset", "hang")


@dataclass(slots=True)
class Faults:
    """The faults of a simulated server; none at first. See the module for what each does."""

    latency: Distribution | None = None
    latency_events: frozenset[str] = frozenset()
    redis_latency: Distribution | None = None
    redis_down: bool = False
    drop: float = 0.0
    drop_events: frozenset[str] = frozenset()
    rate_limits: Mapping[str, int] = field(default_factory=dict)
    connection_limit: int | None = None
    over_limit: str = "503"
    connect_latency: Distribution | None = None
    latency_from: int = 0
    lifetime: Distribution | None = None
    memory_base: float | None = None
    memory_per_connection: float = 0.0
    memory_leak: float = 0.0
    memory_growth: float = 0.0

    def set(self, values: Mapping[str, Any]) -> None:
        """Change some faults, given as in JSON: distributions as text, None ends a fault.

        :raises UsageError: a name or a value that cannot be; nothing has been changed then.
        """
        changed = {name: self._checked(name, value) for name, value in values.items()}
        for name, value in changed.items():
            setattr(self, name, value)

    def described(self) -> dict[str, Any]:
        """All faults in the form that :meth:`set` takes."""
        described: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Distribution):
                value = value.text
            elif isinstance(value, frozenset):
                value = sorted(value)
            described[each.name] = value
        return described

    # -- what the simulator asks -----------------------------------------------------------------

    def connect_s(self, connections: int, source: random.Random) -> float:
        """Seconds that the answer to an upgrade takes on top.

        :param connections: that the replica has now; so for the others.
        """
        if self.connect_latency is None or connections < self.latency_from:
            return 0.0
        return self.connect_latency.draw(source)

    def event_s(self, event: str, connections: int, source: random.Random) -> float:
        """Seconds that this event takes on top."""
        if self.latency is None or connections < self.latency_from:
            return 0.0
        if self.latency_events and event not in self.latency_events:
            return 0.0
        return self.latency.draw(source)

    def redis_s(self, round_trips: int, connections: int, source: random.Random) -> float:
        """Seconds that so many round trips to Redis take on top."""
        if self.redis_latency is None or connections < self.latency_from:
            return 0.0
        return sum(self.redis_latency.draw(source) for _ in range(round_trips))

    def drops(self, event: str, source: random.Random) -> bool:
        """Is this packet one of those that are never sent?"""
        if self.drop_events and event not in self.drop_events:
            return False
        return self.drop >= 1 or source.random() < self.drop

    # -- inside ----------------------------------------------------------------------------------

    def _checked(self, name: str, value: Any) -> Any:
        if name not in _DEFAULTS:
            known = ", ".join(_DEFAULTS)
            raise UsageError(f"no fault is called {name!r}: expected one of {known}")
        if value is None:
            return _DEFAULTS[name]
        check: Callable[[str, Any], Any] = _CHECKS.get(name, _number)
        return check(name, value)


_DEFAULTS: dict[str, Any] = {each.name: getattr(Faults(), each.name) for each in fields(Faults)}


def _number(name: str, value: Any) -> float | int:
    whole = name in ("connection_limit", "latency_from")
    try:
        number = int(str(value)) if whole else float(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < float("inf") or isinstance(value, bool) or (name == "drop" and number > 1):
        expected = "0 to 1" if name == "drop" else f"a {'whole ' if whole else ''}number from 0"
        raise UsageError(f"{name} is {value!r}: expected {expected}")
    return number


def _names(name: str, value: Any) -> frozenset[str]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Iterable) or not all(isinstance(one, str) and one for one in names):
        raise UsageError(f"{name} is {value!r}: expected names of events")
    return frozenset(names)


def _distribution(_name: str, value: Any) -> Distribution:
    return Distribution.parse(str(value))


def _one_of(name: str, value: Any) -> str:
    if value not in OVER_LIMIT:
        raise UsageError(f"{name} is {value!r}: expected one of {', '.join(OVER_LIMIT)}")
    return str(value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}: expected true or false")
    return value


def _limits(name: str, value: Any) -> dict[str, int]:
    if isinstance(value, str):  # visitor:join=3,call:request=1
        pairs = [part.rpartition("=") for part in value.split(",")]
        value = {name: int(most) if most.isdecimal() else most for name, _, most in pairs}
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is {value!r}: expected events and numbers")
    for event, most in value.items():
        if event not in EVENT_LIMITS:
            known = ", ".join(EVENT_LIMITS)
            raise UsageError(f"{name}: {event!r} is not limited: expected {known}")
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise UsageError(f"{name}: {event} is {most!r}: expected a whole number from 0")
    return dict(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "latency": _distribution,
    "redis_latency": _distribution,
    "connect_latency": _distribution,
    "lifetime": _distribution,
    "latency_events": _names,
    "drop_events": _names,
    "rate_limits": _limits,
    "over_limit": _one_of,
    "redis_down": _switch,
}
