"""How long the server takes over an event: nothing in memory, some milliseconds with Redis."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ghost_greeter import events

__all__ = ["WRITE_SHARE", "round_trips", "service_s"]

# Shortest and longest, as measured on loopback, and about how many round trips to Redis that is.
_MEASURED: Mapping[str, tuple[float, float, int]] = {
    events.VISITOR_JOIN: (0.004, 0.012, 6),
    events.DISCONNECT: (0.002, 0.005, 3),
}
_OTHERS = (0.001, 0.003, 3)

WRITE_SHARE = 0.7
"""Of the time for a join or a leave: from reading the agent's record to writing it back."""


def service_s(event: str, source: random.Random) -> float:
    """A time that Redis mode may take over this event."""
    low_s, high_s, _ = _MEASURED.get(event, _OTHERS)
    return low_s + (high_s - low_s) * source.random()


def round_trips(event: str) -> int:
    """How often Redis is asked for it."""
    return _MEASURED.get(event, _OTHERS)[2]
