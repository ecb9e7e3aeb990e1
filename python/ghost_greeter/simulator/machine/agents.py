"""What agents do: log in, come back, go away, set their status, show that they are alive."""

from __future__ import annotations

from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Code, Key, Reason
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.assignment import Assignment
from ghost_greeter.simulator.machine.calls import Calls
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.limits import EventLimits
from ghost_greeter.simulator.machine.model import STATUSES, Agent, Profile

__all__ = ["Agents"]

_NOT_LOGGED_IN = {Key.SUCCESS: False, Key.STATUS: "offline", Key.ERROR: "Agent not found"}


class Agents:
    """Handlers of agent:login, agent:back, agent:away, agent:status and heartbeat."""

    def __init__(
        self, core: Core, assignment: Assignment, calls: Calls, limits: EventLimits
    ) -> None:
        self._core = core
        self._assignment = assignment
        self._calls = calls
        self._limits = limits
        self._serial = 0

    # -- events ----------------------------------------------------------------------------------

    def login(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """agent:login. A known agent moves to this socket; in its grace it gets its status back."""
        core = self._core
        if not self._limits.allow(socket_id, events.AGENT_LOGIN, socket_id):
            return
        payload = args[0] if args else None
        if not isinstance(payload, dict) or not isinstance(payload.get(Key.PROFILE), dict):
            return
        agent_id = payload.get(Key.AGENT_ID)
        if not isinstance(agent_id, str) or not self._may_log_in(socket_id, agent_id, payload):
            return
        agent = self._enter(agent_id, socket_id, Profile.of(payload[Key.PROFILE]))
        former = core.agent_of_socket.get(socket_id)
        if former is not None and former is not agent:
            self._go_offline(former)
        core.agent_of_socket[socket_id] = agent
        core.queue.update(agent)
        core.send(socket_id, packets.login_success(agent))
        core.send(socket_id, packets.stats(agent))
        self._assignment.serve_waiting(agent)

    def back(self, socket_id: str, args: list[Any], ack_id: int | None) -> None:
        """agent:back: idle; those who wait are handed over, and a queued call rings.

        The real handler takes its first argument for the acknowledgement: called with a payload it
        sets the status, then fails before it answers or serves anybody.
        """
        agent = self._core.agent_of_socket.get(socket_id)
        answers = not (args and args[0])
        if agent is not None:
            self._set_status(agent, "idle")
        if not answers:
            return
        self._acknowledge(socket_id, ack_id if not args else None, agent, "idle")
        if agent is not None:
            self._assignment.serve_waiting(agent)
            self._calls.ring_queued(agent, timed=True)

    def away(self, socket_id: str, args: list[Any], ack_id: int | None) -> None:
        """agent:away: its visitors are reassigned, calls that ring reach another agent if one is
        free. Without a payload the real handler takes the acknowledgement for one."""
        agent = self._core.agent_of_socket.get(socket_id)
        if agent is not None:
            self._set_status(agent, "away")
        self._acknowledge(socket_id, ack_id if args else None, agent, "away")
        if agent is not None:
            self._assignment.move_visitors(agent, Reason.AGENT_AWAY)
            self._calls.reroute_pending(agent)

    def status(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """agent:status sets the status and nothing else: waiting visitors go on waiting."""
        agent = self._core.agent_of_socket.get(socket_id)
        if agent is None or not args or not isinstance(args[0], dict):
            return
        if not self._limits.allow(socket_id, events.AGENT_STATUS, agent.agent_id):
            return
        status = args[0].get(Key.STATUS)
        if isinstance(status, str) and status in STATUSES:
            self._set_status(agent, status)

    def heartbeat(self, socket_id: str, _args: list[Any], _ack_id: int | None) -> None:
        """heartbeat: the agent is alive."""
        agent = self._core.agent_of_socket.get(socket_id)
        if agent is not None:
            self._heard(agent)

    # -- sockets and time ------------------------------------------------------------------------

    def left(self, socket_id: str) -> None:
        """The agent's socket has left: its call ends, and it has its grace to come back."""
        agent = self._core.agent_of_socket.pop(socket_id, None)
        if agent is not None:
            self._go_offline(agent)

    def _go_offline(self, agent: Agent) -> None:
        core = self._core
        agent.socket_id = None
        if agent.call is not None:
            self._calls.finish(agent.call, Reason.AGENT_ENDED, ring_next=False)
        agent.status_before_offline = agent.status
        agent.status = "offline"
        core.queue.update(agent)
        grace_s = core.timings.agent_grace_s
        if core.setup.redis:
            agent.grace = core.expire_after(grace_s, self._forget_grace, agent)
        else:
            agent.grace = core.after(grace_s, self._unregister, agent)

    def _unregister(self, agent: Agent) -> None:
        agent.grace = None
        del self._core.agents[agent.agent_id]
        self._core.queue.remove(agent)
        self._calls.forget_queued(agent)
        self._assignment.move_visitors(agent, Reason.AGENT_OFFLINE)

    @staticmethod
    def _forget_grace(agent: Agent) -> None:
        """The record of the grace lives as long as the grace itself: it is gone when the poller
        could find it over, so that in Redis mode nobody is ever unregistered."""
        agent.grace = None

    # -- inside ----------------------------------------------------------------------------------

    def _may_log_in(self, socket_id: str, agent_id: str, payload: dict[str, Any]) -> bool:
        database = self._core.setup.database
        if database is None or database.agent_tokens is None or self._core.is_inside(socket_id):
            return True
        allowed = database.agent_tokens.get(str(payload.get(Key.TOKEN)))
        if allowed is None:
            self._core.refuse(socket_id, Code.AUTH_INVALID_TOKEN, "Invalid or expired token")
        elif allowed not in ("*", agent_id):
            self._core.refuse(socket_id, Code.AUTH_INVALID_TOKEN, "Agent ID mismatch")
        else:
            return True
        return False

    def _enter(self, agent_id: str, socket_id: str, profile: Profile) -> Agent:
        core = self._core
        now_ms = core.epoch_ms
        agent = core.agents.get(agent_id)
        if agent is None:
            self._serial += 1
            agent = Agent(
                agent_id,
                packets.js(agent_id),
                socket_id,
                profile,
                packets.card(agent_id, profile),
                "away",
                now_ms,
                now_ms,
                now_ms,
                core.now_s,
                self._serial,
            )
            core.agents[agent_id] = agent
            return agent
        if agent.socket_id is not None and agent.socket_id != socket_id:
            del core.agent_of_socket[agent.socket_id]  # the old socket stays open, and deaf
        if agent.grace is not None:
            agent.grace.cancel()
            agent.grace = None
            agent.status = agent.status_before_offline
        elif agent.call is None:
            agent.status = "away"
        if agent.status == "in_simulation" and not agent.listed:
            agent.status = "idle"
        agent.socket_id = socket_id
        agent.profile = profile
        agent.card_text = packets.card(agent_id, profile)
        agent.connected_at_ms = now_ms
        self._heard(agent)
        return agent

    def _set_status(self, agent: Agent, status: str) -> None:
        agent.status = status
        self._heard(agent)
        self._core.queue.update(agent)

    def _heard(self, agent: Agent) -> None:
        agent.heard_s = self._core.now_s
        agent.last_activity_ms = self._core.epoch_ms

    def _acknowledge(
        self, socket_id: str, ack_id: int | None, agent: Agent | None, status: str
    ) -> None:
        if ack_id is not None:
            answer = _NOT_LOGGED_IN if agent is None else {Key.SUCCESS: True, Key.STATUS: status}
            self._core.send(socket_id, packets.acknowledgement(ack_id, answer))
