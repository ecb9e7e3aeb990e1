"""How often the real server lets events come, in Redis mode."""

from __future__ import annotations

from collections.abc import Mapping

from ghost_greeter import events

__all__ = ["EVENT_LIMITS"]

# The server's table has limits for more events, which it never checks.
EVENT_LIMITS: Mapping[str, int] = {
    events.VISITOR_JOIN: 10,
    events.CALL_REQUEST: 5,
    events.AGENT_LOGIN: 10,
    events.AGENT_STATUS: 30,
}
"""Uses of an event in a window, by its name."""
