"""The noise floor of this machine: what is measured where there is nothing to measure.

Round trips at a low rate, over loopback, to an echo server in a process of its own: no latency of a
run can be told from this floor.
"""

from __future__ import annotations

import asyncio

from ghostcore._engine import engine_of
from ghostcore._units import seconds_to_ns
from ghostcore.loop.watch import LoopWatch
from ghostcore.metrics.histogram import Histogram
from ghostcore.monitor.generator_report import Calibration
from ghostcore.opening.connect import connect
from ghostcore.sessions.websocket_session import WebSocketSession
from ghostcore.testing import EchoServer, ServerProcess

__all__ = ["CALIBRATION_S", "calibrate"]

CALIBRATION_S = 2.0
RATE = 200
CONNECTIONS = 10
ANSWER_TIMEOUT_S = 5.0


async def calibrate(seconds: float | None = None) -> Calibration:
    """Measure the noise floor.

    :param seconds: for how long, the start of the server not included; CALIBRATION_S unless given.
    :raises GhostError: the server did not start, or did not answer.
    """
    engine = engine_of(asyncio.get_running_loop())
    seconds = CALIBRATION_S if seconds is None else seconds
    times, rounds = Histogram(), max(1, round(seconds * RATE))  # in us
    async with ServerProcess(EchoServer) as server:
        sessions: list[WebSocketSession] = []
        watch = LoopWatch(engine.timers)
        try:
            for _ in range(CONNECTIONS):
                sessions.append(await connect(server.url))
            watch.take_lag()
            start_ns = engine.now_ns()
            for number in range(rounds):
                await engine.timers.sleep_until(start_ns + seconds_to_ns(number / RATE))
                session = sessions[number % CONNECTIONS]
                sent_ns = engine.now_ns()
                await session.send(b"noise")
                answer = await session.recv(timeout=ANSWER_TIMEOUT_S)
                times.record((answer.arrived_ns - sent_ns + 500) // 1000)
            lag_p99_ns, lag_ns = watch.take_lag()
        finally:
            watch.close()
            for session in sessions:
                await session.close()
    return Calibration(
        round_trips=rounds,
        seconds=rounds / RATE,
        p50_ms=times.value_at_quantile(0.5) / 1000,
        p99_ms=times.value_at_quantile(0.99) / 1000,
        max_ms=(times.max or 0) / 1000,
        loop_lag_p99_ms=lag_p99_ns / 1e6,
        loop_lag_ms=lag_ns / 1e6,
    )
