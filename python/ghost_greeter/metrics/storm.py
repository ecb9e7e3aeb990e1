"""Metrics of a storm of reconnects, which begins at the moment of the drop."""

from __future__ import annotations

from ghost_greeter.metrics.subject import Subject
from ghostcore import Counter, Rate, Trend

__all__ = [
    "ATTEMPTS",
    "CONNECTING_AGAIN",
    "DROPPED",
    "JOINING_AGAIN",
    "RECONNECT_FAILURES",
    "RECONNECT_TIME",
    "RECOVERY_TIME",
    "SERVED_AGAIN",
    "STORM",
]

STORM = Subject()

RECONNECT_TIME = STORM.add(
    Trend("reconnect_time", unit="ms"), "the drop to the answer to a visitor's new join"
)
CONNECTING_AGAIN = STORM.add(
    Trend("reconnect_connection_time", unit="ms"), "dial to the connect answer, of each attempt"
)
JOINING_AGAIN = STORM.add(
    Trend("reconnect_join_time", unit="ms"), "join to its answer, of each attempt that connected"
)
ATTEMPTS = STORM.add(Counter("reconnect_attempts"), "attempts to connect and join again")
RECONNECT_FAILURES = STORM.add(
    Counter("reconnect_failures"), "attempts that failed; tag kind says with which error"
)
DROPPED = STORM.add(Counter("visitors_dropped"), "visitors that lost their connection in the drop")
SERVED_AGAIN = STORM.add(
    Rate("served_again_rate"), "visitors served again in time, of those dropped"
)
RECOVERY_TIME = STORM.add(
    Trend("storm_recovery_time", unit="ms"),
    "the drop until 99 % of those dropped were served again; one sample a storm",
)
