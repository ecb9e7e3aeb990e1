"""What a replica tells of its process: since when it runs, and its memory.

The memory is this process's own, or what a fault says it is.
"""

from __future__ import annotations

import psutil

from ghost_greeter.simulator.setup.clock import Clock
from ghost_greeter.simulator.setup.faults import Faults
from ghostcore.testing import SocketIOServer

__all__ = ["LIMIT_BYTES", "MIB", "Process"]

KIB, MIB = 1024, 1024 * 1024
LIMIT_BYTES = 512 * MIB


class Process:
    """Figures of one replica. Faults change what is reported, never what is used."""

    def __init__(self, faults: Faults, server: SocketIOServer, clock: Clock) -> None:
        self._faults = faults
        self._server = server
        self._clock = clock
        self._process = psutil.Process()
        self.started()

    def started(self) -> None:
        """The replica begins, or begins anew."""
        self._started_s = self._clock.now_s()
        self._connections_before = self._server.connections_total

    def uptime_s(self) -> float:
        """Seconds since then."""
        return self._clock.now_s() - self._started_s

    def rss_bytes(self) -> int:
        """Resident memory."""
        faults, server = self._faults, self._server
        if faults.memory_base is None:
            found = float(self._process.memory_info().rss)
        else:
            found = faults.memory_base * MIB
        there = len(server.connections)
        gone = server.connections_total - self._connections_before - there
        found += faults.memory_per_connection * KIB * there
        found += faults.memory_leak * KIB * gone
        return int(found + faults.memory_growth * MIB * self.uptime_s() / 3600)
