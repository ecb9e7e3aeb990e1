"""Metrics of a visit: a visitor connects, joins and is told of its agent."""

from __future__ import annotations

from ghost_greeter.metrics.subject import Subject
from ghostcore import Counter, Rate, Trend

__all__ = [
    "ASSIGNED",
    "ASSIGNED_RATE",
    "CONNECTION_TIME",
    "DELIVERY",
    "EVENTS_DUPLICATED",
    "EVENTS_LOST",
    "EVENTS_MISDELIVERED",
    "FAILURES",
    "JOIN_SUCCESS_RATE",
    "JOIN_TIME",
    "PAUSED",
    "UNAVAILABLE",
    "VISIT",
]

VISIT = Subject()

CONNECTION_TIME = VISIT.add(
    Trend("ws_connection_time", unit="ms"), "dial to the Socket.IO connect answer"
)
FAILURES = VISIT.add(Counter("connection_failures"), "visitors whose connection was not opened")
JOIN_TIME = VISIT.add(Trend("widget_join_time", unit="ms"), "join to its first answer")
JOIN_SUCCESS_RATE = VISIT.add(
    Rate("join_success_rate"), "joins that had an answer other than an error"
)
ASSIGNED_RATE = VISIT.add(Rate("agent_assigned_rate"), "answers to a join that named an agent")
ASSIGNED = VISIT.add(Counter("agent_assigned_count"), "joins answered with an agent")
UNAVAILABLE = VISIT.add(Counter("agent_unavailable_count"), "joins answered that no agent is there")
PAUSED = VISIT.add(Counter("org_paused_count"), "joins answered that the organisation is paused")

DELIVERY = Subject()
"""Whether what the server tells a visitor reaches the one it is for, once."""

EVENTS_LOST = DELIVERY.add(
    Counter("visitor_events_lost"), "joins that were not answered though the connection was there"
)
EVENTS_DUPLICATED = DELIVERY.add(
    Counter("visitor_events_duplicated"),
    "an agent assigned that was assigned already, or unavailable when it was",
)
EVENTS_MISDELIVERED = DELIVERY.add(
    Counter("visitor_events_misdelivered"), "events for another visitor"
)
