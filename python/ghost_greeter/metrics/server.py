"""Metrics of what the server tells of itself over HTTP while a run goes on."""

from __future__ import annotations

from ghost_greeter.metrics.subject import Subject
from ghostcore import Gauge, Rate, Trend

__all__ = [
    "COUNTED",
    "DIFFERENCE",
    "HEALTHY",
    "HEALTH_TIME",
    "MEMORY",
    "SERVER",
    "SOCKETS",
]

SERVER = Subject()

COUNTED = SERVER.add(
    Gauge("server_visitors"),
    "visitors, or sockets where the scenario has no visitors, that the server counts",
)
SOCKETS = SERVER.add(Gauge("server_sockets"), "sockets that the server counts")
DIFFERENCE = SERVER.add(
    Gauge("visitor_count_difference"),
    "what the server counts beyond what can be there (over 0), or less than must be (under 0)",
)
MEMORY = SERVER.add(Gauge("server_memory", unit="bytes"), "resident memory that the server reports")
HEALTHY = SERVER.add(Rate("server_healthy_rate"), "looks at /health that found it not unhealthy")
HEALTH_TIME = SERVER.add(
    Trend("server_health_time", unit="ms"), "a look at /health, from asking to answer"
)
