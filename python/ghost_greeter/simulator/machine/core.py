"""What all subjects of the state machine share: the records, the time, what is to be sent.

No I/O. Whoever drives it sets the time and the replica first, and takes what is to be sent after.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.choice import AgentQueue
from ghost_greeter.simulator.machine.model import Agent, Call, Request, Visitor, VisitorId
from ghost_greeter.simulator.machine.timers import Timer, Timers
from ghost_greeter.simulator.setup.clock import epoch_ms
from ghost_greeter.simulator.setup.setup import Setup

__all__ = ["Core", "Effect", "Kick", "Send"]

_STORE = -1  # the "replica" on whose behalf Redis and the database forget
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class Send(NamedTuple):
    """A packet for a socket."""

    socket_id: str
    packet: str


class Kick(NamedTuple):
    """The server makes a socket leave, and closes its connection a moment later."""

    socket_id: str


Effect = Send | Kick


class Core:
    """The records of the server, or in Redis mode of all its replicas.

    :ivar now_s: the time of the event being handled.
    :ivar node: the replica that handles it.
    :ivar redis_down: does Redis not answer?
    :ivar service_s: how long it takes over it: the time for which what it has read may be old.
    :ivar effects: what is to be sent for it, in order.
    :ivar outcomes: what became of calls, counted. Every one ``requested`` is ``accepted``,
        ``rejected``, ``rung_out``, ``cancelled`` or ``expired``, or still there.
    """

    def __init__(self, setup: Setup, epoch_offset_s: float, source: random.Random) -> None:
        self.setup = setup
        self.timings = setup.timings
        self.random = source
        self.now_s = 0.0
        self.node = 0
        self.redis_down = False
        self.service_s = 0.0
        self.effects: list[Effect] = []
        self.timers = Timers()
        self.queue = AgentQueue()
        self.agents: dict[str, Agent] = {}
        self.agent_of_socket: dict[str, Agent] = {}
        self.visitors: dict[VisitorId, Visitor] = {}
        self.visitor_of_socket: dict[str, Visitor] = {}
        # Assigned to nobody, by the time they came. Served from the front: a dict would search it.
        self.waiting: OrderedDict[VisitorId, Visitor] = OrderedDict()
        self.requests: dict[str, Request] = {}
        self.calls: dict[str, Call] = {}
        self.outcomes: Counter[str] = Counter()
        self.default_pools: dict[str, Any] = {}  # by organisation
        self.pools_of_agent: dict[str, set[str]] = {}
        self.epoch_offset_s = epoch_offset_s
        self._node_of: dict[str, int] = {}
        self._here: Counter[int] = Counter()  # sockets, by replica
        self._receivers: dict[str, Callable[[str], object]] = {}

    # -- sockets ---------------------------------------------------------------------------------

    def enter(self, socket_id: str) -> None:
        """A socket has connected to this replica."""
        self._node_of[socket_id] = self.node
        self._here[self.node] += socket_id not in self._receivers

    def leave(self, socket_id: str) -> None:
        """A socket has left."""
        node = self._node_of.pop(socket_id, None)
        if node is not None:
            self._here[node] -= socket_id not in self._receivers

    @property
    def sockets_here(self) -> int:
        """How many are connected to this replica, those inside the simulator not counted."""
        return self._here[self.node]

    def attach(self, socket_id: str, receiver: Callable[[str], object]) -> None:
        """What goes to this socket goes to a function: somebody inside the simulator."""
        self._receivers[socket_id] = receiver
        self.enter(socket_id)

    def is_inside(self, socket_id: str | None) -> bool:
        """Does the socket belong to somebody inside the simulator, whose replica is there?"""
        return socket_id in self._receivers and socket_id in self._node_of

    def is_here(self, socket_id: str | None) -> bool:
        """Is the socket one of this replica's own? It can send to no other."""
        return socket_id is not None and self._node_of.get(socket_id) == self.node

    def is_anywhere(self, socket_id: str) -> bool:
        """Is the socket connected, to whichever replica?"""
        return socket_id in self._node_of

    def end_replica(self) -> list[str]:
        """This replica has gone with all that it was about to do, and with its sockets, which are
        returned. In Redis nothing is changed by that."""
        self.timers.cancel_of(self.node)
        gone = [socket_id for socket_id, node in self._node_of.items() if node == self.node]
        for socket_id in gone:
            self.leave(socket_id)
        return gone

    def send(self, socket_id: str | None, packet: str) -> None:
        """Send to a socket; what is for another replica's is lost, as it is in the real server."""
        if not self.is_here(socket_id):
            return
        assert socket_id is not None
        receiver = self._receivers.get(socket_id)
        if receiver is not None:
            receiver(packet)
        else:
            self.effects.append(Send(socket_id, packet))

    def refuse(self, socket_id: str, code: str, message: str) -> None:
        """Send the event ``error``."""
        self.send(socket_id, packets.error(code, message))

    def kick(self, socket_id: str) -> None:
        """Make a socket leave."""
        self.effects.append(Kick(socket_id))

    # -- time and names --------------------------------------------------------------------------

    @property
    def epoch_ms(self) -> int:
        """Milliseconds since 1970 of the event being handled."""
        return epoch_ms(self.epoch_offset_s, self.now_s)

    def after(self, delay_s: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call a function later, on behalf of this replica."""
        return self.timers.at(self.now_s + delay_s, self.node, function, *arguments)

    def expire_after(
        self, delay_s: float, function: Callable[..., object], *arguments: Any
    ) -> Timer:
        """Call a function later, on behalf of what the replicas store their state in: also if this
        replica is gone by then."""
        return self.timers.at(self.now_s + delay_s, _STORE, function, *arguments)

    def stop_waiting(self, visitor: Visitor) -> None:
        """The visitor waits no more; another one who has come under its id since still does."""
        if self.waiting.get(visitor.visitor_id) is visitor:
            del self.waiting[visitor.visitor_id]

    def new_id(self, kind: str) -> str:
        """``KIND_<ms>_<7 base36>``."""
        tail = "".join(self.random.choices(_BASE36, k=7))
        return f"{kind}_{self.epoch_ms}_{tail}"

    # -- figures ---------------------------------------------------------------------------------

    @property
    def agent_count(self) -> int:
        """Agents known, offline ones included."""
        return len(self.agents)

    @property
    def online_agent_count(self) -> int:
        """Agents that are not offline."""
        return sum(agent.status != "offline" for agent in self.agents.values())

    @property
    def visitor_count(self) -> int:
        """Visitors registered, waiting ones included."""
        return len(self.visitors)

    @property
    def simulation_count(self) -> int:
        """Visitors in the lists of agents."""
        return sum(len(agent.listed) for agent in self.agents.values())
