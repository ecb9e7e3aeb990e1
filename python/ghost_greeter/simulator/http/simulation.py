"""What the HTTP side of the simulator asks of the simulation behind it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.machine import Machine
from ghost_greeter.simulator.setup.clock import Clock
from ghost_greeter.simulator.setup.faults import Faults
from ghostcore.testing import SocketIOServer

__all__ = ["Simulation"]


class Simulation(Protocol):
    """A simulated server with all its replicas, as its HTTP side sees it."""

    @property
    def machine(self) -> Machine:
        """The state machine: after a crash in memory mode another one."""
        ...

    @property
    def state(self) -> Core:
        """The records of agents, visitors and calls."""
        ...

    @property
    def clock(self) -> Clock:
        """What all times are read from."""
        ...

    @property
    def faults(self) -> Faults:
        """What goes wrong at the moment."""
        ...

    @property
    def random(self) -> random.Random:
        """Where its chances come from."""
        ...

    @property
    def servers(self) -> Sequence[SocketIOServer]:
        """The Socket.IO servers, one a replica."""
        ...

    @property
    def urls(self) -> list[str]:
        """The URLs of all replicas."""
        ...

    @property
    def on_crash(self) -> Callable[[], object]:
        """What makes all replicas crash."""
        ...

    def crash_soon(self, back_after_s: float | None = None, node: int | None = None) -> None:
        """Crash without being waited for.

        :param back_after_s: seconds until it is there again; None: it stays away.
        :param node: the replica that crashes; None: all of them.
        """
        ...
