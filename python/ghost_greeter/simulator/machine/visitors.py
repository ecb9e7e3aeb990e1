"""What visitors do: join, leave."""

from __future__ import annotations

from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key, Reason
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.assignment import Assignment, Listed
from ghost_greeter.simulator.machine.calls import Calls
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.limits import EventLimits
from ghost_greeter.simulator.machine.model import Agent, Visitor, VisitorId
from ghost_greeter.simulator.setup.service import WRITE_SHARE

__all__ = ["Visitors"]

PAUSED = "We're temporarily unavailable. Please check back soon!"


class Visitors:
    """Handler of visitor:join, and of what happens when a visitor's socket leaves."""

    def __init__(
        self, core: Core, assignment: Assignment, calls: Calls, limits: EventLimits
    ) -> None:
        self._core = core
        self._assignment = assignment
        self._calls = calls
        self._limits = limits

    def join(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """visitor:join. Joining again keeps organisation and time of the first join; one who is in
        a call is not answered."""
        core = self._core
        if not self._limits.allow(socket_id, events.VISITOR_JOIN, socket_id):
            return
        payload = args[0] if args else None
        if not isinstance(payload, dict):
            return
        visitor_id = payload.get(Key.VISITOR_ID) or core.new_id("visitor")
        if not isinstance(visitor_id, str | int | float) or self._is_shut_out(socket_id, payload):
            return
        org, page = _pick(payload, Key.ORG_ID), _pick(payload, Key.PAGE_URL)
        visitor = self._register(socket_id, visitor_id, org, page)
        if visitor.call is not None:
            return
        self._assignment.release(visitor)
        agent = self._assignment.best()
        if agent is None:
            self._assignment.wait(visitor)
            core.send(socket_id, packets.unavailable(visitor))
        elif core.setup.redis:
            delay_s = core.service_s * WRITE_SHARE
            core.after(delay_s, self._assigned, socket_id, visitor, agent, agent.listed)
        else:
            self._assigned(socket_id, visitor, agent, None)

    def restore(
        self, socket_id: str, visitor_id: VisitorId, org: dict[str, Any], page: dict[str, Any]
    ) -> Visitor:
        """A visitor is back on a new socket without having joined: it is assigned to nobody, unless
        its old socket is still there."""
        visitor = self._register(socket_id, visitor_id, org, page)
        if visitor.agent is None and visitor.call is None:
            self._assignment.wait(visitor)
        return visitor

    def left(self, socket_id: str) -> None:
        """A visitor is forgotten; its call ends, but what it asked for rings on."""
        core = self._core
        visitor = core.visitor_of_socket.get(socket_id)
        if visitor is None:
            return
        if visitor.call is not None:
            self._calls.finish(visitor.call, Reason.VISITOR_ENDED, tell_visitor=False)
        agent = visitor.agent
        listed = () if agent is None else agent.listed
        self._forget(visitor)
        if agent is None:
            return
        if core.setup.redis:
            core.after(core.service_s * WRITE_SHARE, self._forgotten, visitor, agent, listed)
        else:
            core.send(agent.socket_id, packets.stats(agent))

    # -- inside ----------------------------------------------------------------------------------

    def _assigned(
        self, socket_id: str, visitor: Visitor, agent: Agent, listed: Listed | None
    ) -> None:
        core = self._core
        if core.visitors.get(visitor.visitor_id) is not visitor or visitor.call is not None:
            return
        self._assignment.assign(visitor, agent, listed=listed)
        core.send(socket_id, packets.assigned(visitor, agent))
        core.send(agent.socket_id, packets.stats(agent))

    def _forgotten(self, visitor: Visitor, agent: Agent, listed: Listed) -> None:
        self._assignment.write_without(visitor, agent, listed)
        self._core.send(agent.socket_id, packets.stats(agent))

    def _is_shut_out(self, socket_id: str, payload: dict[str, Any]) -> bool:
        core, database = self._core, self._core.setup.database
        if database is None:
            return False
        org_id = payload.get(Key.ORG_ID)
        if not isinstance(org_id, str):
            return False
        if org_id in database.blocked_orgs:
            core.outcomes["kicked"] += 1
            core.kick(socket_id)
            return True
        if org_id in database.paused_orgs:
            core.outcomes["paused"] += 1
            core.send(socket_id, packets.event(events.ORG_PAUSED, {Key.MESSAGE: PAUSED}))
            return True
        return False

    def _register(
        self, socket_id: str, visitor_id: VisitorId, org: dict[str, Any], page: dict[str, Any]
    ) -> Visitor:
        core = self._core
        previous = core.visitor_of_socket.get(socket_id)
        if previous is not None and previous.visitor_id != visitor_id:
            self.left(socket_id)
        visitor = core.visitors.get(visitor_id)
        if visitor is None:
            id_text = packets.js(visitor_id)
            visitor = Visitor(visitor_id, id_text, socket_id, org, page, core.epoch_ms)
            core.visitors[visitor_id] = visitor
        else:
            core.visitor_of_socket.pop(visitor.socket_id, None)
            visitor.socket_id = socket_id
            visitor.page = page
        core.visitor_of_socket[socket_id] = visitor
        return visitor

    def _forget(self, visitor: Visitor) -> None:
        core = self._core
        if core.setup.redis:
            core.stop_waiting(visitor)
        else:
            self._assignment.release(visitor)
        core.visitors.pop(visitor.visitor_id, None)
        core.visitor_of_socket.pop(visitor.socket_id, None)


def _pick(payload: dict[str, Any], name: str) -> dict[str, Any]:
    """One field, left out where the payload has none: JSON knows no ``undefined``."""
    return {name: payload[name]} if name in payload else {}
