"""Do visitors get served? Connect, join, browse, perhaps interact, leave."""

from __future__ import annotations

import time

from ghost_greeter.scenarios.presence import EVENT_METRICS, ask_to_join
from ghost_greeter.scenarios.visit import CONNECTION_TIME, visit_s
from ghost_greeter.switchboard import switchboard_of
from ghostcore import (
    VU,
    Counter,
    Event,
    RampingVUs,
    Rate,
    SocketIOSession,
    TargetError,
    Trend,
    scenario,
)

__all__ = ["FAILURES", "JOIN_SUCCESS_RATE", "VISITOR_METRICS", "connect", "enter", "widget"]

JOIN_TIME = Trend("widget_join_time", unit="ms")
JOIN_SUCCESS_RATE = Rate("join_success_rate")
ASSIGNED_RATE = Rate("agent_assigned_rate")
ASSIGNED = Counter("agent_assigned_count")
UNAVAILABLE = Counter("agent_unavailable_count")
PAUSED = Counter("org_paused_count")
FAILURES = Counter("connection_failures")

ANSWERS = {"agent:assigned": ASSIGNED, "agent:unavailable": UNAVAILABLE, "org:paused": PAUSED}

VISITOR_METRICS = (
    *(CONNECTION_TIME, FAILURES, JOIN_TIME, JOIN_SUCCESS_RATE, ASSIGNED_RATE),
    *ANSWERS.values(),
    *EVENT_METRICS,
)
"""What connect() and enter() record."""

INTERACTIONS = ("click", "scroll", "mousemove")
INTERACTION_SHARE = 0.30


@scenario(
    load=RampingVUs(stages=[("2m", 200), ("5m", 200), ("1m", 0)]),
    thresholds={
        CONNECTION_TIME: "p(95)<3000",
        JOIN_TIME: "p(95)<1000",
        FAILURES: "count<20",
        JOIN_SUCCESS_RATE: "rate>0.90",
    },
    metrics=VISITOR_METRICS,
)
async def widget(vu: VU) -> None:
    """Connect within 15 s, join from a random page, browse for 1 to 3 min with a 30 % chance of an
    interaction at some moment of it, disconnect."""
    switchboard_of(vu)
    async with await connect(vu) as session:
        await enter(vu, session)
        browse_s = visit_s(vu, 60, 180)
        if vu.random.random() < INTERACTION_SHARE:
            before_s = vu.random.uniform(0, browse_s)
            await vu.sleep(before_s)
            await session.emit(
                "visitor:interaction",
                {
                    "interactionType": vu.random.choice(INTERACTIONS),
                    "timestamp": time.time_ns() // 1_000_000,
                },
            )
            browse_s -= before_s
        await vu.sleep(browse_s)


async def connect(vu: VU) -> SocketIOSession:
    """Connect as a visitor, within 15 s."""
    try:
        session = await vu.socketio(vu.env["SERVER_URL"], timeout="15s", metric=CONNECTION_TIME)
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
    vu.record(ASSIGNED_RATE, answer.name == "agent:assigned")
    for name, metric in ANSWERS.items():
        vu.record(metric, 1 if answer.name == name else 0)
    return answer
