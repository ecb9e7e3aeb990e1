"""What the scenarios share."""

from __future__ import annotations

from ghost_greeter.settings import parse_session
from ghostcore import VU, Trend

__all__ = ["CONNECTION_TIME", "visit_s"]

CONNECTION_TIME = Trend("ws_connection_time", unit="ms")
"""Dial to the Socket.IO connect answer."""


def visit_s(vu: VU, low_s: float, high_s: float) -> float:
    """How long this visit lasts: within the scenario's own range, or that of ``--session``."""
    if "SESSION" in vu.env:
        low_s, high_s = parse_session(vu.env["SESSION"])
    return vu.random.uniform(low_s, high_s)
