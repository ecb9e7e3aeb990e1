"""Calls: asked for, ringing, rerouted, queued, accepted, rejected, ended.

The visitor never learns the id of its request, nor that it was rerouted or queued: it hears of an
acceptance, of an end, or that nobody is there.
"""

from __future__ import annotations

from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Code, Key, Reason
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.assignment import Assignment
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.limits import EventLimits
from ghost_greeter.simulator.machine.model import Agent, Call, Request, Visitor
from ghost_greeter.simulator.machine.ringing import RingWatch
from ghost_greeter.simulator.machine.tokens import Tokens

__all__ = ["Calls"]


class Calls:
    """Handlers of call:request, call:cancel, call:accept, call:reject and call:end."""

    def __init__(
        self, core: Core, assignment: Assignment, limits: EventLimits, tokens: Tokens
    ) -> None:
        self._core = core
        self._assignment = assignment
        self._limits = limits
        self._tokens = tokens
        self.watch = RingWatch(core, self._rang_out)
        timings, database = core.timings, core.setup.database
        self._ring_s, self._max_call_s = timings.ring_s, timings.max_call_s
        if database is not None and database.ring_s is not None:
            self._ring_s = database.ring_s * timings.scale
        if database is not None and database.max_call_s is not None:
            self._max_call_s = database.max_call_s * timings.scale

    # -- events ----------------------------------------------------------------------------------

    def request(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:request: rings at the agent that was named, at another, or waits for the first."""
        core = self._core
        if not args or not isinstance(args[0], dict):
            return
        visitor = core.visitor_of_socket.get(socket_id)
        if visitor is None:
            core.outcomes["refused"] += 1
            core.refuse(socket_id, Code.VISITOR_NOT_FOUND, "Visitor session not found")
            return
        if not self._limits.allow(socket_id, events.CALL_REQUEST, visitor.visitor_id):
            return
        if visitor.call is not None:
            call = visitor.call
            self.finish(
                call, Reason.VISITOR_ENDED, tell_visitor=False, ring_next=False, for_good=True
            )
        named_id = args[0].get(Key.AGENT_ID)
        named = core.agents.get(named_id) if isinstance(named_id, str) else None
        if named is not None and named.is_free:
            self._ring(self._new_request(visitor, named, self._ring_s), timed=True)
            return
        other = self._assignment.best()
        if other is not None:
            core.outcomes["rerouted"] += 1
            self._ring(self._new_request(visitor, other, self._ring_s), timed=True)
        elif named is not None:
            core.outcomes["queued"] += 1
            self._new_request(visitor, named, self._ring_s)
        else:
            core.outcomes["refused"] += 1
            core.refuse(socket_id, Code.AGENT_NOT_FOUND, "Agent not found")

    def cancel(self, _socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:cancel: needs the id of the request, which visitors never see."""
        request = self._pending(args)
        if request is not None:
            self._core.outcomes["cancelled"] += 1
            self._remove(request)
            self._core.send(request.agent.socket_id, packets.call_cancelled(request))

    def accept(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:accept, by any socket that knows the id: nobody asks whose call it is."""
        core = self._core
        if not args or not isinstance(args[0], dict):
            return
        request = self._pending(args)
        if request is None:
            core.refuse(socket_id, Code.CALL_NOT_FOUND, "Call request not found or expired")
            return
        agent, visitor = request.agent, core.visitors.get(request.visitor_id)
        busy = agent.call is not None or (visitor is not None and visitor.call is not None)
        if busy or agent.socket_id is None:
            core.refuse(socket_id, Code.INTERNAL_ERROR, "Failed to accept call")
            return
        core.outcomes["accepted"] += 1
        self._remove(request)
        call = Call(core.new_id("active"), request.visitor_id, agent, core.epoch_ms)
        self._tokens.give(call, core.now_s - request.made_s)
        self.start(call)
        if not core.setup.redis:
            call.timer = core.after(self._max_call_s, self._too_long, call)
        if visitor is not None:
            core.send(visitor.socket_id, packets.call_accepted(call))
        self._assignment.move_visitors(agent, Reason.AGENT_BUSY)
        page = request.page if visitor is None else visitor.page
        core.send(socket_id, packets.call_started(call, page, self._tokens.log_id(call)))

    def reject(self, _socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:reject: rings elsewhere, or the visitor is told that the agent is away."""
        request = self._pending(args)
        if request is not None:
            self._remove(request)
            self._pass_on(request, self._core.timings.ring_s, "rejected", Reason.AGENT_AWAY)

    def end(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:end, by either side."""
        core = self._core
        call_id = args[0].get(Key.CALL_ID) if args and isinstance(args[0], dict) else None
        call = core.calls.get(call_id) if isinstance(call_id, str) else None
        if call is not None:
            by_agent = socket_id in core.agent_of_socket
            self.finish(
                call, Reason.AGENT_ENDED if by_agent else Reason.VISITOR_ENDED, for_good=True
            )

    # -- what others do with calls ---------------------------------------------------------------

    def start(self, call: Call) -> None:
        """The two are in this call from now."""
        core = self._core
        core.calls[call.call_id] = call
        visitor = core.visitors.get(call.visitor_id)
        if visitor is not None:
            visitor.call = call
            core.stop_waiting(visitor)
        call.agent.call = call
        call.agent.status = "in_call"
        core.queue.update(call.agent)

    def finish(
        self,
        call: Call,
        reason: str,
        *,
        message: str | None = None,
        tell_visitor: bool = True,
        tell_agent: bool = True,
        ring_next: bool = True,
        for_good: bool = False,
    ) -> None:
        """The call is over: both are told, the visitor first; the agent is idle.

        :param ring_next: the agent's next queued call rings in a moment.
        :param for_good: nobody may reconnect to it. Otherwise one side has dropped off.
        """
        core = self._core
        core.outcomes["ended"] += 1
        del core.calls[call.call_id]
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        if for_good:
            self._tokens.revoke(call.token)
        else:
            self._tokens.dropped(call)
        agent, visitor = call.agent, core.visitors.get(call.visitor_id)
        agent.call = None
        if agent.status != "offline":
            agent.status = "idle"
        core.queue.update(agent)
        packet = packets.call_ended(call.call_id, reason, message)
        if visitor is not None and visitor.call is call:
            visitor.call = None
            if visitor.agent is None:
                self._assignment.wait(visitor)
            if tell_visitor:
                core.send(visitor.socket_id, packet)
        if tell_agent:
            core.send(agent.socket_id, packet)
        if ring_next and agent.queued:
            core.after(core.timings.queue_s, self.ring_queued, agent)

    def ring_queued(self, agent: Agent, *, timed: bool = False) -> None:
        """The oldest call that waits for this agent rings.

        :param timed: does ring-no-answer apply? After a call's end it does not.
        """
        if not agent.is_free:
            return
        while agent.queued:
            request = next(iter(agent.queued.values()))
            if request.visitor_id in self._core.visitors:
                self._ring(request, timed=timed)
                break
            self._expire(request)  # it has no visitor left to show

    def reroute_pending(self, agent: Agent) -> None:
        """The agent has gone away: its pending calls ring elsewhere, if anybody else is free."""
        other = self._assignment.best(exclude=agent)  # for all of them: a ring changes no agent
        if other is None:
            return
        for request in list(agent.pending.values()):
            visitor = self._core.visitors.get(request.visitor_id)
            if visitor is not None:
                self._core.outcomes["rerouted"] += 1
                self._remove(request)
                ring_s = self._core.timings.ring_s
                self._ring(self._new_request(visitor, other, ring_s, again=True), timed=True)
            elif not request.rings:
                self._expire(request)  # as in ring_queued(): so that it is looked at once

    def forget_queued(self, agent: Agent) -> None:
        """The agent does not exist any more: what waits for it will never ring, and what rings
        there for ever (as queued calls do after a call's end) will never be answered."""
        for request in list(agent.pending.values()):
            rings_out = request.ring_timer is not None or request.ring_end_s is not None
            if not (request.rings and rings_out):
                self._expire(request)

    # -- inside ----------------------------------------------------------------------------------

    def _pending(self, args: list[Any]) -> Request | None:
        payload = args[0] if args else None
        request_id = payload.get(Key.REQUEST_ID) if isinstance(payload, dict) else None
        return self._core.requests.get(request_id) if isinstance(request_id, str) else None

    def _new_request(
        self, visitor: Visitor, agent: Agent, ring_s: float, *, again: bool = False
    ) -> Request:
        core = self._core
        request_id = core.new_id("call")
        text = packets.request_text(request_id, visitor, agent, visitor.page, core.epoch_ms)
        request = Request(
            request_id, visitor.visitor_id, agent, visitor.page, text, core.now_s, ring_s
        )
        core.requests[request_id] = agent.pending[request_id] = request
        agent.queued[request_id] = request
        if core.setup.redis:
            request.expiry = core.expire_after(core.timings.pending_ttl_s, self._expire, request)
        if not again:
            core.outcomes["requested"] += 1
        return request

    def _ring(self, request: Request, *, timed: bool) -> None:
        core = self._core
        visitor, agent = core.visitors.get(request.visitor_id), request.agent
        if visitor is None or not core.is_here(agent.socket_id):
            return  # another replica's agent: no ring, no time-out, no error
        core.outcomes["rang"] += 1
        request.rings = True
        request.agent.queued.pop(request.request_id, None)
        core.send(agent.socket_id, packets.call_incoming(request, visitor))
        if timed:
            self.watch.watch(request)

    def _remove(self, request: Request) -> None:
        self.watch.forget(request)
        if request.expiry is not None:
            request.expiry.cancel()
            request.expiry = None
        del self._core.requests[request.request_id]
        del request.agent.pending[request.request_id]
        request.agent.queued.pop(request.request_id, None)

    def _expire(self, request: Request) -> None:
        self._core.outcomes["expired"] += 1
        self._remove(request)

    def _rang_out(self, request: Request) -> None:
        core, agent = self._core, request.agent
        self._remove(request)
        core.send(agent.socket_id, packets.call_cancelled(request))
        if agent.is_free:
            agent.status = "away"
            core.queue.update(agent)
            core.send(agent.socket_id, packets.marked_away(packets.RING_NO_ANSWER))
        self._pass_on(request, request.ring_s, "rung_out", Reason.RING_TIMEOUT)

    def _pass_on(self, request: Request, ring_s: float, outcome: str, reason: str) -> None:
        """Another agent's telephone rings, or the visitor hears why nobody came."""
        core, agent = self._core, request.agent
        visitor = core.visitors.get(request.visitor_id)
        if visitor is None or visitor.call is not None:
            core.outcomes[outcome] += 1
            return
        other = self._assignment.best(exclude=agent)
        if other is not None:
            core.outcomes["rerouted"] += 1
            self._ring(self._new_request(visitor, other, ring_s, again=True), timed=True)
            return
        core.outcomes[outcome] += 1
        core.send(visitor.socket_id, packets.unavailable(visitor, agent, reason))
        self._assignment.let_go(visitor)

    def _too_long(self, call: Call) -> None:
        call.timer = None
        minutes = int(self._max_call_s / self._core.timings.scale / 60)
        message = f"Call automatically ended after {minutes} minutes"
        self.finish(call, Reason.MAX_DURATION, message=message, for_good=True)
