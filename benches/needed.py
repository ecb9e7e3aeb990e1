"""The figures to reach: tables show them beside the measured ones."""

from __future__ import annotations

__all__ = [
    "CLEAN_RUNS",
    "CONNECT_US",
    "ECHO_RATIO",
    "ERROR_MS",
    "ERROR_OVER_LAG_MS",
    "FLAT",
    "HELD",
    "IDLE_KIB",
    "IDLE_SHARE",
    "IN_FLIGHT_GAIN",
    "LATE_MS",
    "LIMIT_SHARE",
    "MOST_SERVER_SHARE",
    "MOST_SHARE",
    "OMITTED_MS",
    "PAIRS",
    "SIMULATED",
    "SIMULATED_MS",
    "THEORY",
    "verdict",
]

ECHO_RATIO = 5.0
"""Echo round trips a second, against k6."""

LIMIT_SHARE = {"epoll": 0.75, "picows": 0.6}
"""The same against the client in C; also CPU time of a round trip at a fixed rate."""

IN_FLIGHT_GAIN = (2.4, 3.5)
"""Messages a second with five in one send(2), against one: what a prototype made, not a limit."""

MOST_SERVER_SHARE = 0.7
"""Of its core, at a fixed rate: a busier server would be part of what is measured."""

IDLE_KIB = {
    ("epoll", "idle"): 2.5,
    ("epoll", "idle_socketio"): 3.5,
    ("picows", "idle"): 8.0,
    ("picows", "idle_socketio"): 9.0,
    ("epoll", "idle_wss"): 40.0,
}
"""User-space memory of an idle user."""

CONNECT_US = 90.0
"""CPU time of a connect, epoll link."""

FLAT = 0.8
"""Connects: the last quarter against the first."""

HELD = 19_000
"""Sockets in one process, for five minutes, none lost and every ping of Engine.IO answered."""

LATE_MS = 0.5
"""Timers, 99th percentile."""

IDLE_SHARE = 0.05
"""Of a core, with all users idle."""


PAIRS = 100_000
"""Messages whose delay was recorded by the server and reported, at least."""

ERROR_MS = {"p50": 0.2, "p99": 1.0}
"""Reported less recorded, message by message."""

ERROR_OVER_LAG_MS = 0.2
"""The same beyond the generator error of the second, 99th percentile."""

MOST_SHARE = 0.7
"""Of a core, of either side: where one has no time to spare, its queue is what is measured."""

CLEAN_RUNS = 20
"""Short runs in which nothing is wrong, none of them inconclusive."""

THEORY = (0.02, 5.0)
"""Response times from theory, the server having stood still: this share of it, and so many ms."""

OMITTED_MS = 10.0
"""What k6 shows at most at its 90th percentile, where theory has a second: a few ms."""


SIMULATED = {"visitors": 10_000, "agents": 400}
"""Served by the simulator in one process on one core, which is at most MOST_SERVER_SHARE busy."""

SIMULATED_MS = 100.0
"""Of a join, and from call:request to call:incoming, 95th percentile: a tenth of what the suite
lets a join take, so that little of what it measures is the simulator's."""


def verdict(holds: bool) -> str:
    """What stands beside a measured figure and a needed one."""
    return "yes" if holds else "NO"
