"""A faithful simulator of the Ghost Greeter signaling server: in-memory mode, Redis mode, replicas.

:class:`Simulator` runs on an event loop, :class:`EmbeddedSimulator` in a process of its own,
``python -m ghost_greeter.simulator`` as a program. What it answers, and what it leaves unanswered,
was recorded from the real server; README.md beside this file says what of it is done.
"""

from __future__ import annotations

from ghost_greeter.simulator.embedded import EmbeddedSimulator
from ghost_greeter.simulator.outage import Outage
from ghost_greeter.simulator.server import Simulator
from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.distribution import Distribution
from ghost_greeter.simulator.setup.faults import Faults
from ghost_greeter.simulator.setup.setup import Database, HttpSetup, Setup
from ghost_greeter.simulator.setup.timings import Timings

__all__ = [
    "Behaviour",
    "Database",
    "Distribution",
    "EmbeddedSimulator",
    "Faults",
    "HttpSetup",
    "Outage",
    "Setup",
    "Simulator",
    "Timings",
]
