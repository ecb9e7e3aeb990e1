"""How often the real server lets events come, in Redis mode."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EVENT_LIMITS"]

# The server's table has limits for more events, which it never checks.
EVENT_LIMITS: Mapping[str, int] = {
    "visitor:join": 10,
    "call:request": 5,
    "agent:login": 10,
    "agent:status": 30,
}
"""Uses of an event in a window, by its name."""
