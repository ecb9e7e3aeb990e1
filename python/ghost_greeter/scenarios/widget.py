"""Do visitors get served? Connect, join, browse, perhaps interact, leave."""

from __future__ import annotations

import time

from ghost_greeter import events
from ghost_greeter.events import Key
from ghost_greeter.metrics.visit import CONNECTION_TIME, FAILURES, JOIN_SUCCESS_RATE, JOIN_TIME
from ghost_greeter.scenarios.visit import VISITOR_METRICS, connect, enter, visit_s
from ghost_greeter.switchboard import join_switchboard
from ghostcore import VU, RampingVUs, scenario

__all__ = ["widget"]

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
    join_switchboard(vu)
    async with await connect(vu) as session:
        await enter(vu, session)
        browse_s = visit_s(vu, 60, 180)
        if vu.random.random() < INTERACTION_SHARE:
            before_s = vu.random.uniform(0, browse_s)
            await vu.sleep(before_s)
            await session.emit(
                events.VISITOR_INTERACTION,
                {
                    Key.INTERACTION_TYPE: vu.random.choice(INTERACTIONS),
                    Key.TIMESTAMP: time.time_ns() // 1_000_000,
                },
            )
            browse_s -= before_s
        await vu.sleep(browse_s)
