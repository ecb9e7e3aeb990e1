"""The signaling server's state machine, in-memory mode. No I/O: events in, events out.

Every method that stands for an event returns what is to be sent, in order. Payloads that the real
server fails on (it logs the exception and goes on) return nothing.
"""

from __future__ import annotations

import random
from typing import Any

from ghost_greeter.simulator.choice import AgentQueue
from ghost_greeter.simulator.clock import Clock
from ghost_greeter.simulator.model import (
    STATUSES,
    WIDGET_SETTINGS,
    Agent,
    Emit,
    Profile,
    Visitor,
    VisitorId,
)

__all__ = ["GreeterState"]

Ack = dict[str, Any]

AGENT_GRACE_S = 10.0
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_NOT_LOGGED_IN: Ack = {"success": False, "status": "offline", "error": "Agent not found"}


class GreeterState:
    """Agents, visitors and who serves whom.

    :param clock: the only source of time.
    :param agents: built-in agents: always idle, without a socket.
    :param grace_s: seconds that a disconnected agent has to come back before its visitors move.
    :param random_source: where made-up ids come from.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        agents: int = 0,
        grace_s: float = AGENT_GRACE_S,
        random_source: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._random = random_source or random.Random()
        self._queue = AgentQueue()
        self._agents: dict[str, Agent] = {}
        self._agent_of_socket: dict[str, Agent] = {}
        self._visitors: dict[VisitorId, Visitor] = {}
        self._visitor_of_socket: dict[str, Visitor] = {}
        self._waiting: dict[VisitorId, Visitor] = {}
        self._graces: dict[str, float] = {}  # agent id -> end of its grace, ends ascending
        self._serial = 0
        for number in range(1, agents + 1):
            profile = Profile(f"Simulated agent {number}")
            self._queue.update(self._add_agent(f"sim-agent-{number}", None, profile, "idle"))

    # -- figures ---------------------------------------------------------------------------------

    @property
    def agent_count(self) -> int:
        """Agents known, offline ones included."""
        return len(self._agents)

    @property
    def online_agent_count(self) -> int:
        """Agents that are not offline."""
        return sum(agent.status != "offline" for agent in self._agents.values())

    @property
    def visitor_count(self) -> int:
        """Visitors registered, waiting ones included."""
        return len(self._visitors)

    @property
    def simulation_count(self) -> int:
        """Visitors that have an agent."""
        return len(self._visitors) - len(self._waiting)

    # -- visitors --------------------------------------------------------------------------------

    def visitor_join(self, socket_id: str, payload: object) -> list[Emit]:
        """visitor:join. Joining again keeps organisation and time of the first join."""
        if not isinstance(payload, dict):
            return []
        visitor_id = payload.get("visitorId") or self._new_id("visitor")
        if not isinstance(visitor_id, str | int | float):
            return []
        previous = self._visitor_of_socket.get(socket_id)
        if previous is not None and previous.visitor_id != visitor_id:
            self._forget_visitor(previous)
        visitor = self._visitors.get(visitor_id)
        if visitor is None:
            visitor = Visitor(
                visitor_id,
                socket_id,
                payload.get("orgId"),
                payload.get("pageUrl"),
                self._clock.epoch_ms(),
            )
            self._visitors[visitor_id] = visitor
        else:
            self._release(visitor)
            self._visitor_of_socket.pop(visitor.socket_id, None)
            visitor.socket_id = socket_id
            visitor.page_url = payload.get("pageUrl")
        self._visitor_of_socket[socket_id] = visitor
        agent = self._queue.best()
        if agent is None:
            self._waiting[visitor_id] = visitor
            return [_unavailable(visitor)]
        self._assign(visitor, agent)
        return [_assigned(visitor, agent), *_stats(agent)]

    # -- agents ----------------------------------------------------------------------------------

    def agent_login(self, socket_id: str, payload: object) -> list[Emit]:
        """agent:login. A known agent moves to this socket; in its grace it gets its status back."""
        if not isinstance(payload, dict) or not isinstance(payload.get("profile"), dict):
            return []
        agent_id = payload.get("agentId")
        if not isinstance(agent_id, str):
            return []
        profile = Profile.of(payload["profile"])
        agent = self._agents.get(agent_id)
        if agent is None:
            agent = self._add_agent(agent_id, socket_id, profile, "away")
        else:
            if agent.socket_id is not None:
                del self._agent_of_socket[agent.socket_id]  # the old socket stays open, and deaf
            returns = self._graces.pop(agent_id, None) is not None
            agent.status = agent.status_before_offline if returns else "away"
            if agent.status == "in_simulation" and not agent.visitors:
                agent.status = "idle"
            agent.socket_id = socket_id
            agent.profile = profile
            agent.connected_at_ms = agent.last_activity_ms = self._clock.epoch_ms()
        former = self._agent_of_socket.get(socket_id)
        if former is not None and former is not agent:
            former.socket_id = None
        self._agent_of_socket[socket_id] = agent
        self._queue.update(agent)
        emits = [Emit(socket_id, "login:success", {"agentState": agent.state()}), *_stats(agent)]
        return emits + self._serve_waiting(agent)

    def agent_back(self, socket_id: str) -> tuple[Ack, list[Emit]]:
        """agent:back: the acknowledgement, and the waiting visitors that the agent now gets."""
        agent = self._agent_of_socket.get(socket_id)
        if agent is None:
            return _NOT_LOGGED_IN, []
        self._set_status(agent, "idle")
        return {"success": True, "status": "idle"}, self._serve_waiting(agent)

    def agent_away(self, socket_id: str) -> tuple[Ack, list[Emit]]:
        """agent:away: the acknowledgement, and what its visitors are told."""
        agent = self._agent_of_socket.get(socket_id)
        if agent is None:
            return _NOT_LOGGED_IN, []
        self._set_status(agent, "away")
        return {"success": True, "status": "away"}, self._move_visitors(agent, "agent_away")

    def agent_status(self, socket_id: str, payload: object) -> None:
        """agent:status sets the status and nothing else: waiting visitors go on waiting."""
        agent = self._agent_of_socket.get(socket_id)
        if agent is not None and isinstance(payload, dict):
            status = payload.get("status")
            if isinstance(status, str) and status in STATUSES:
                self._set_status(agent, status)

    def heartbeat(self, socket_id: str) -> None:
        """heartbeat: the agent is alive."""
        agent = self._agent_of_socket.get(socket_id)
        if agent is not None:
            agent.last_activity_ms = self._clock.epoch_ms()

    # -- sockets and time ------------------------------------------------------------------------

    def left(self, socket_id: str) -> list[Emit]:
        """A socket has left: a visitor is forgotten, an agent has its grace to come back."""
        emits: list[Emit] = []
        visitor = self._visitor_of_socket.get(socket_id)
        if visitor is not None:
            agent = visitor.agent
            self._forget_visitor(visitor)
            if agent is not None:
                emits += _stats(agent)
        agent = self._agent_of_socket.pop(socket_id, None)
        if agent is not None:
            agent.socket_id = None
            agent.status_before_offline = agent.status
            self._set_status(agent, "offline")
            self._graces[agent.agent_id] = self._clock.now_s() + self._grace_s
        return emits

    @property
    def next_due_s(self) -> float | None:
        """When :meth:`advance` has something to do; None for never."""
        return next(iter(self._graces.values()), None)

    def advance(self) -> list[Emit]:
        """Do what is due by now: agents whose grace is over are forgotten."""
        now_s = self._clock.now_s()
        emits: list[Emit] = []
        while self._graces:
            agent_id, end_s = next(iter(self._graces.items()))
            if end_s > now_s:
                break
            del self._graces[agent_id]
            agent = self._agents.pop(agent_id)
            self._queue.remove(agent)
            emits += self._move_visitors(agent, "agent_offline")
        return emits

    # -- inside ----------------------------------------------------------------------------------

    def _new_id(self, kind: str) -> str:
        tail = "".join(self._random.choices(_BASE36, k=7))
        return f"{kind}_{self._clock.epoch_ms()}_{tail}"

    def _add_agent(
        self, agent_id: str, socket_id: str | None, profile: Profile, status: str
    ) -> Agent:
        now_ms = self._clock.epoch_ms()
        self._serial += 1
        agent = Agent(agent_id, socket_id, profile, status, now_ms, now_ms, now_ms, self._serial)
        self._agents[agent_id] = agent
        return agent

    def _set_status(self, agent: Agent, status: str) -> None:
        if status == "idle" and agent.visitors:
            status = "in_simulation"
        agent.status = status
        agent.last_activity_ms = self._clock.epoch_ms()
        self._queue.update(agent)

    def _assign(self, visitor: Visitor, agent: Agent) -> None:
        self._waiting.pop(visitor.visitor_id, None)
        visitor.agent = agent
        agent.visitors[visitor.visitor_id] = visitor
        if agent.status == "idle":
            agent.status = "in_simulation"
        self._queue.assigned(agent)

    def _release(self, visitor: Visitor) -> None:
        self._waiting.pop(visitor.visitor_id, None)
        agent = visitor.agent
        if agent is not None:
            visitor.agent = None
            del agent.visitors[visitor.visitor_id]
            if agent.status == "in_simulation" and not agent.visitors:
                agent.status = "idle"
            self._queue.update(agent)

    def _forget_visitor(self, visitor: Visitor) -> None:
        self._release(visitor)
        self._visitors.pop(visitor.visitor_id, None)
        self._visitor_of_socket.pop(visitor.socket_id, None)

    def _serve_waiting(self, agent: Agent) -> list[Emit]:
        """Waiting visitors for whom this agent is the best choice, with the time of their join."""
        emits = []
        for visitor in list(self._waiting.values()):
            if self._queue.best() is not agent:
                break
            self._assign(visitor, agent)
            emits.append(_assigned(visitor, agent, waited=True))
        return emits

    def _move_visitors(self, old: Agent, reason: str) -> list[Emit]:
        """The old agent's visitors go to others, or wait."""
        emits = []
        for visitor in list(old.visitors.values()):
            self._release(visitor)
            new = self._queue.best()
            if new is None:
                self._waiting[visitor.visitor_id] = visitor
                if reason == "agent_offline":
                    emits.append(_unavailable(visitor))
                else:
                    emits.append(_unavailable(visitor, old.profile.display_name, reason))
                continue
            self._assign(visitor, new)
            # The real server overwrites the field first when the agent went away: the "previous"
            # agent is then the new one.
            previous = old if reason == "agent_offline" else new
            emits.append(
                Emit(
                    visitor.socket_id,
                    "agent:reassigned",
                    {
                        "previousAgentId": previous.agent_id,
                        "newAgent": new.card(),
                        "reason": reason,
                    },
                )
            )
        return emits


def _assigned(visitor: Visitor, agent: Agent, *, waited: bool = False) -> Emit:
    payload = {
        "agent": agent.card(),
        "visitorId": visitor.visitor_id,
        "widgetSettings": WIDGET_SETTINGS,
    }
    if waited:
        payload["visitorConnectedAt"] = visitor.connected_at_ms
    return Emit(visitor.socket_id, "agent:assigned", payload)


def _unavailable(visitor: Visitor, previous_name: Any = None, reason: str = "") -> Emit:
    payload = {
        "visitorId": visitor.visitor_id,
        "widgetSettings": WIDGET_SETTINGS,
        "poolId": None,
    }
    if reason:
        payload["previousAgentName"] = previous_name
        payload["reason"] = reason
    return Emit(visitor.socket_id, "agent:unavailable", payload)


def _stats(agent: Agent) -> list[Emit]:
    if agent.socket_id is None:
        return []
    return [Emit(agent.socket_id, "stats:update", {"poolVisitors": len(agent.visitors)})]
