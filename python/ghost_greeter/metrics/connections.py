"""Metrics of sockets that are held without being visitors."""

from __future__ import annotations

from ghost_greeter.metrics.subject import Subject
from ghostcore import Counter, Rate

__all__ = ["CONNECTIONS", "FAILURES", "RECEIVED", "SENT", "SUCCESSES", "SUCCESS_RATE"]

CONNECTIONS = Subject()

SUCCESSES = CONNECTIONS.add(Counter("ws_connection_successes"), "connections that were opened")
SENT = CONNECTIONS.add(Counter("ws_messages_sent"), "messages sent on them, pongs included")
FAILURES = CONNECTIONS.add(Counter("ws_connection_failures"), "connections that were not opened")
SUCCESS_RATE = CONNECTIONS.add(
    Rate("ws_connection_success_rate"), "connections that were opened, of all"
)
RECEIVED = CONNECTIONS.add(
    Counter("ws_messages_received"), "messages received on them, pings included"
)
