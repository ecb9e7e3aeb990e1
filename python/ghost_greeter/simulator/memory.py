"""The memory that the server reports: this process's own, or what a fault says it is."""

from __future__ import annotations

import psutil

from ghost_greeter.simulator.clock import Clock
from ghost_greeter.simulator.faults import Faults
from ghostcore.testing import SocketIOServer

__all__ = ["LIMIT_BYTES", "MIB", "Memory"]

KIB, MIB = 1024, 1024 * 1024
LIMIT_BYTES = 512 * MIB


class Memory:
    """Figures of one replica. Faults change what is reported, never what is used."""

    def __init__(self, faults: Faults, server: SocketIOServer, clock: Clock) -> None:
        self._faults = faults
        self._server = server
        self._clock = clock
        self._started_s = clock.now_s()
        self._process = psutil.Process()

    def rss_bytes(self) -> int:
        """Resident memory."""
        faults, server = self._faults, self._server
        if faults.memory_base is None:
            found = float(self._process.memory_info().rss)
        else:
            found = faults.memory_base * MIB
        gone = server.connections_total - len(server.connections)
        found += faults.memory_per_connection * KIB * len(server.connections)
        found += faults.memory_leak * KIB * gone
        hours = (self._clock.now_s() - self._started_s) / 3600
        return int(found + faults.memory_growth * MIB * hours)
