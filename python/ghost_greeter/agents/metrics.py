"""What a pool of agents records, under names of its own."""

from __future__ import annotations

from ghostcore import Counter, Gauge, Trend

__all__ = ["AGENT_METRICS"]

ONLINE = Gauge("agents_online")
LOGIN_TIME = Trend("agent_login_time", unit="ms")
"""Dial to the acknowledgement of agent:back: from then on it takes visitors."""

LOGINS = Counter("agent_logins")
LOGIN_FAILURES = Counter("agent_login_failures")
"""Under way: a pool that cannot log in before the load keeps the run from starting."""

DISCONNECTS = Counter("agent_disconnects")
MARKED_AWAY = Counter("agent_marked_away")
INCOMING = Counter("agent_calls_incoming")
ACCEPTED = Counter("agent_calls_accepted")
REJECTED = Counter("agent_calls_rejected")
DECLINED = Counter("agent_calls_declined")
"""Calls that rang at an agent that was in another: rejected, beside what the mix says."""

IGNORED = Counter("agent_calls_ignored")
CANCELLED = Counter("agent_calls_cancelled")
ENDED = Counter("agent_calls_ended")
"""Calls that an agent ended itself, since the visitor did not in time."""

ERRORS = Counter("agent_errors")
"""Events ``error`` that agents got, tagged with their code."""

AGENT_METRICS = (
    ONLINE,
    LOGIN_TIME,
    LOGINS,
    LOGIN_FAILURES,
    DISCONNECTS,
    MARKED_AWAY,
    INCOMING,
    ACCEPTED,
    REJECTED,
    DECLINED,
    IGNORED,
    CANCELLED,
    ENDED,
    ERRORS,
)
