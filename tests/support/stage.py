"""The simulator's state machine on a clock in the test's hand, spoken to by names."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from ghost_greeter.simulator import Behaviour, Database, Faults, Timings
from ghost_greeter.simulator.machine.core import Core, Effect, Send
from ghost_greeter.simulator.machine.machine import Machine
from ghost_greeter.simulator.setup.setup import Setup

EPOCH_S = 1_795_363_955.0


class Told(NamedTuple):
    """What somebody is told. An acknowledgement's event is ``ack``, a kick's ``kick``."""

    who: str
    event: str
    payload: Any = None


def told(effects: list[Effect]) -> list[Told]:
    return [_told(effect) for effect in effects]


def _told(effect: Effect) -> Told:
    who = effect.socket_id
    if not isinstance(effect, Send):
        return Told(who, "kick")
    packet = effect.packet
    if packet.startswith("43"):
        return Told(who, "ack", json.loads(packet[packet.index("[") :])[0])
    assert packet.startswith("42["), packet
    event, payload = json.loads(packet[2:])
    return Told(who, event, payload)


class Stage:
    """A server. Whoever acts does so on a socket of the same name, unless another is given."""

    def __init__(
        self,
        mode: Any = "memory",
        *,
        replicas: int = 1,
        agents: int = 0,
        behaviour: Behaviour | None = None,
        timings: Timings | None = None,
        database: Database | None = None,
        faults: Faults | None = None,
        seed: int = 1,
    ) -> None:
        self.now_s = 0.0
        self.faults = faults or Faults()
        self.machine = Machine(
            Setup(mode, replicas, timings or Timings(), database),
            epoch_offset_s=EPOCH_S,
            faults=self.faults,
            source=random.Random(seed),
        )
        self.machine.add_agents(agents, behaviour)
        self.node_of: dict[str, int] = {}

    @property
    def core(self) -> Core:
        return self.machine.core

    def does(
        self, who: str, event: str, *args: Any, ack: int | None = None, within_s: float = 0.0
    ) -> list[Told]:
        """An event of somebody's, and what happens at once (Redis mode: within 30 ms)."""
        if who not in self.node_of:
            self.at(who, 0)
        effects = self.machine.handle(
            self.now_s, self.node_of[who], who, event, list(args), ack_id=ack
        )
        return told(effects) + self._soon(within_s)

    def at(self, who: str, node: int) -> None:
        """Somebody connects to a replica."""
        self.node_of[who] = node
        self.machine.connected(self.now_s, node, who)

    def leaves(self, who: str) -> list[Told]:
        return told(self.machine.left(self.now_s, self.node_of.pop(who), who)) + self._soon()

    def _soon(self, within_s: float = 0.0) -> list[Told]:
        if self.machine.setup.redis:
            within_s = max(within_s, 0.03)
        return self.wait(within_s) if within_s else []

    def wait(self, seconds: float) -> list[Told]:
        return self.wait_until(self.now_s + seconds)

    def wait_until(self, at_s: float) -> list[Told]:
        self.now_s = at_s
        return told(self.machine.advance(at_s))

    def ends(self, node: int = 0) -> None:
        """A replica's process ends."""
        self.machine.ended(self.now_s, node)

    def restarts(self, node: int = 0) -> list[Told]:
        """It is there again."""
        return told(self.machine.restarted(self.now_s, node))

    # -- what people do --------------------------------------------------------------------------

    def join(self, visitor: str, socket: str | None = None, **more: Any) -> list[Told]:
        payload = {"orgId": "org", "pageUrl": "/", "visitorId": visitor, **more}
        return self.does(socket or visitor, "visitor:join", payload)

    def login(self, agent: str, socket: str | None = None, token: str = "t") -> list[Told]:
        profile = {"displayName": f"Agent {agent}", "avatarUrl": None}
        payload = {"agentId": agent, "token": token, "profile": profile}
        return self.does(socket or agent, "agent:login", payload)

    def agents(self, *names: str) -> None:
        """Agents come and are idle."""
        for name in names:
            self.login(name)
            self.back(name)

    def back(self, agent: str) -> list[Told]:
        return self.does(agent, "agent:back", ack=0)

    def away(self, agent: str) -> list[Told]:
        return self.does(agent, "agent:away", {"reason": "manual"}, ack=0)

    def asks(self, visitor: str, agent: str) -> list[Told]:
        return self.does(visitor, "call:request", {"agentId": agent})

    def accepts(self, agent: str, request_id: str) -> list[Told]:
        return self.does(agent, "call:accept", {"requestId": request_id})

    def rejects(self, agent: str, request_id: str) -> list[Told]:
        return self.does(agent, "call:reject", {"requestId": request_id, "reason": "busy"})

    def call(self, visitor: str, agent: str) -> str:
        """A call between these two; returns its id."""
        request_id = incoming(self.asks(visitor, agent))
        events = self.accepts(agent, request_id)
        call_id: str = one(events, "call:accepted").payload["callId"]
        return call_id

    def figures(self) -> tuple[int, int, int, int]:
        """Visitors, simulations, calls, pending requests."""
        core = self.core
        return core.visitor_count, core.simulation_count, len(core.calls), len(core.requests)


def one(events: list[Told], name: str) -> Told:
    """The only event of this name."""
    (found,) = [event for event in events if event.event == name]
    return found


def incoming(events: list[Told]) -> str:
    """The request id of the only call:incoming."""
    request_id: str = one(events, "call:incoming").payload["request"]["requestId"]
    return request_id


def served_by(events: list[Told]) -> str:
    return str(one(events, "agent:assigned").payload["agent"]["id"])


def names(events: list[Told]) -> list[tuple[str, str]]:
    """Who is told what."""
    return [(event.who, event.event) for event in events]


def card(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "displayName": f"Agent {name}",
        "avatarUrl": None,
        "waveVideoUrl": None,
        "introVideoUrl": "",
        "connectVideoUrl": None,
        "loopVideoUrl": "",
    }
