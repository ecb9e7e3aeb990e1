"""Metrics of a pool of agents."""

from __future__ import annotations

from ghost_greeter import events
from ghost_greeter.metrics.subject import Subject
from ghostcore import Counter, Gauge, Trend

__all__ = [
    "ACCEPTED",
    "AGENTS",
    "CANCELLED",
    "DECLINED",
    "DISCONNECTS",
    "ENDED",
    "ERRORS",
    "IGNORED",
    "INCOMING",
    "LOGINS",
    "LOGIN_FAILURES",
    "LOGIN_TIME",
    "MARKED_AWAY",
    "ONLINE",
    "REJECTED",
]

AGENTS = Subject()

ONLINE = AGENTS.add(Gauge("agents_online"), "agents of the pool that are logged in")
LOGIN_TIME = AGENTS.add(
    Trend("agent_login_time", unit="ms"),
    f"dial to the acknowledgement of {events.AGENT_BACK}: from then on the agent takes visitors",
)
LOGINS = AGENTS.add(Counter("agent_logins"), "log-ins that succeeded, later ones included")
LOGIN_FAILURES = AGENTS.add(
    Counter("agent_login_failures"),
    "log-ins that failed under way; tag kind. One that fails before the load ends the run",
)
DISCONNECTS = AGENTS.add(
    Counter("agent_disconnects"), "connections that were lost; tag kind says how"
)
MARKED_AWAY = AGENTS.add(
    Counter("agent_marked_away"), "agents that the server marked away; tag reason"
)
INCOMING = AGENTS.add(Counter("agent_calls_incoming"), "calls that rang at an agent")
ACCEPTED = AGENTS.add(
    Counter("agent_calls_accepted"), "calls that agents accepted, and that started"
)
REJECTED = AGENTS.add(
    Counter("agent_calls_rejected"), "calls that agents rejected, as the mix says"
)
DECLINED = AGENTS.add(
    Counter("agent_calls_declined"),
    "calls rejected by an agent that was in another, beside what the mix says",
)
IGNORED = AGENTS.add(Counter("agent_calls_ignored"), "calls that agents let ring, as the mix says")
CANCELLED = AGENTS.add(
    Counter("agent_calls_cancelled"), "calls that the server took back while they rang"
)
ENDED = AGENTS.add(
    Counter("agent_calls_ended"), "calls that an agent ended, since the visitor did not in time"
)
ERRORS = AGENTS.add(Counter("agent_errors"), "events error that agents got; tag code says which")
