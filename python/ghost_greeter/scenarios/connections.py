"""How many concurrent sockets? Connect, hold, disconnect."""

from __future__ import annotations

from ghost_greeter.metrics.connections import (
    CONNECTIONS,
    FAILURES,
    RECEIVED,
    SENT,
    SUCCESS_RATE,
    SUCCESSES,
)
from ghost_greeter.metrics.visit import CONNECTION_TIME
from ghost_greeter.scenarios.presence import present
from ghost_greeter.scenarios.visit import visit_s
from ghostcore import VU, RampingVUs, TargetError, scenario

__all__ = ["connections"]


@scenario(
    load=RampingVUs(stages=[("1m", 100), ("2m", 500), ("2m", 1000), ("3m", 1000), ("1m", 0)]),
    thresholds={
        CONNECTION_TIME: "p(95)<2000",
        FAILURES: "count<50",
        SUCCESS_RATE: "rate>0.95",
        RECEIVED: "count>0",
    },
    metrics=CONNECTIONS.metrics,
)
async def connections(vu: VU) -> None:
    """Connect within 10 s, hold for 30 to 60 s while pings are answered, disconnect, pause."""
    try:
        session = await vu.socketio(vu.env["SERVER_URL"], timeout="10s", metric=CONNECTION_TIME)
    except TargetError:
        vu.record(FAILURES, 1)
        vu.record(SUCCESS_RATE, False)
        raise
    # 0 and not nothing: "no failures" must be something that was measured.
    vu.record(FAILURES, 0)
    vu.record(SUCCESS_RATE, True)
    vu.record(SUCCESSES)
    present(vu, session)
    try:
        async with session:
            await vu.sleep(visit_s(vu, 30, 60))
    finally:
        vu.record(SENT, session.msgs_sent)
        vu.record(RECEIVED, session.msgs_received)
    await vu.sleep(vu.random.uniform(0, 2))
