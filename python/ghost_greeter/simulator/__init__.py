"""A faithful simulator of the Ghost Greeter signaling server, in-memory mode.

:class:`Simulator` runs on an event loop, :class:`EmbeddedSimulator` in a process of its own,
``python -m ghost_greeter.simulator`` as a program. What it answers, and what it leaves unanswered,
was recorded from the real server.
"""

from __future__ import annotations

from ghost_greeter.simulator.embedded import EmbeddedSimulator
from ghost_greeter.simulator.server import Simulator

__all__ = ["EmbeddedSimulator", "Simulator"]
