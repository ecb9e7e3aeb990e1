"""What the scenarios share: a visitor comes, joins, and stays for a while."""

from __future__ import annotations

from ghost_greeter import events
from ghost_greeter.metrics.visit import (
    ASSIGNED,
    ASSIGNED_RATE,
    CONNECTION_TIME,
    DELIVERY,
    FAILURES,
    JOIN_SUCCESS_RATE,
    JOIN_TIME,
    PAUSED,
    UNAVAILABLE,
    VISIT,
)
from ghost_greeter.scenarios.presence import ask_to_join
from ghost_greeter.settings import parse_session
from ghostcore import VU, Event, SocketIOSession, TargetError

__all__ = [
    "CONNECT_TIMEOUT_S",
    "VISITOR_METRICS",
    "connect",
    "enter",
    "visit_s",
]

CONNECT_TIMEOUT_S = 15.0

ANSWERS = {
    events.AGENT_ASSIGNED: ASSIGNED,
    events.AGENT_UNAVAILABLE: UNAVAILABLE,
    events.ORG_PAUSED: PAUSED,
}

VISITOR_METRICS = (*VISIT.metrics, *DELIVERY.metrics)
"""What connect() and enter() record."""


def visit_s(vu: VU, low_s: float, high_s: float) -> float:
    """How long this visit lasts: within the scenario's own range, or that of ``--session``."""
    if "SESSION" in vu.env:
        low_s, high_s = parse_session(vu.env["SESSION"])
    return vu.random.uniform(low_s, high_s)


async def connect(vu: VU) -> SocketIOSession:
    """Connect as a visitor, within 15 s."""
    try:
        session = await vu.socketio(
            vu.env["SERVER_URL"], timeout=CONNECT_TIMEOUT_S, metric=CONNECTION_TIME
        )
    except TargetError:
        vu.record(FAILURES, 1)
        raise
    # 0 and not nothing: "no failures" must be something that was measured.
    vu.record(FAILURES, 0)
    return session


async def enter(vu: VU, session: SocketIOSession) -> Event:
    """Join as a visitor of a random page; returns what the server says to it.

    The first answer counts, whatever it says; an ``error`` event is a failure.
    """
    try:
        answer = await ask_to_join(vu, session, JOIN_TIME)
    except TargetError:
        vu.record(JOIN_SUCCESS_RATE, False)
        raise
    vu.record(JOIN_SUCCESS_RATE, True)
    vu.record(ASSIGNED_RATE, answer.name == events.AGENT_ASSIGNED)
    for name, metric in ANSWERS.items():
        vu.record(metric, 1 if answer.name == name else 0)
    return answer
