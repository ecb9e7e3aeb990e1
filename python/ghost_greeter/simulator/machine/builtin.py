"""Agents inside the simulator: they log in, stay idle and answer calls as they are told to.

They speak the protocol as everybody does, on sockets that are functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.model import VisitorId
from ghost_greeter.simulator.setup.behaviour import ANSWERS, Behaviour
from ghostcore import UsageError

__all__ = ["BuiltInAgents"]

_BACK_AFTER_S = 1.0
_LOOK_S = 5.0  # how often one looks whether there is still somebody in the call
_EVENTS = {"accept": events.CALL_ACCEPT, "reject": events.CALL_REJECT}

Act = Callable[[str, str, list[Any]], None]


class _Agent:
    """One of them: the replica it connects to, what rings at it, the call it is in."""

    def __init__(self, number: int, node: int) -> None:
        self.number = number
        self.node = node
        self.socket_id = f"inside-{number}"
        self.ringing: dict[str, str] = {}  # request id: what to do with it
        self.call_id: str | None = None


class BuiltInAgents:
    """`count` agents, spread over the replicas in turn.

    :param act: what gives an event of theirs to the state machine, at once.
    """

    def __init__(self, core: Core, act: Act, count: int, behaviour: Behaviour | None) -> None:
        if count < 0:
            raise UsageError(f"agents is {count}: expected 0 or more")
        self._core = core
        self._act = act
        self._behaviour = behaviour or Behaviour()
        self._answered = [0, 0, 0]
        replicas = core.setup.replicas
        self._agents = [_Agent(number, (number - 1) % replicas) for number in range(1, count + 1)]
        before = core.node
        for core.node in range(replicas):
            self.return_to(core.node)
        core.node = before

    def return_to(self, node: int) -> None:
        """Those of a replica connect, now that it is there. A call that they were in is over."""
        for agent in self._agents:
            if agent.node == node:
                self._start(agent)

    def _start(self, agent: _Agent) -> None:
        self._core.attach(agent.socket_id, partial(self._received, agent))
        agent.ringing.clear()
        call_id, agent.call_id = agent.call_id, None
        profile = {Key.DISPLAY_NAME: f"Simulated agent {agent.number}"}
        login = {Key.AGENT_ID: f"sim-agent-{agent.number}", Key.PROFILE: profile}
        self._act(agent.socket_id, events.AGENT_LOGIN, [login])
        if call_id is not None:
            self._act(agent.socket_id, events.CALL_END, [{Key.CALL_ID: call_id}])
        self._act(agent.socket_id, events.AGENT_BACK, [])

    def _received(self, agent: _Agent, packet: str) -> None:
        name = packet[4 : packet.find('"', 4)]
        if name == events.STATS_UPDATE:  # nearly all that it is sent
            return
        scale = self._core.timings.scale
        if name == events.CALL_INCOMING:
            request_id = json.loads(packet[2:])[1][Key.REQUEST][Key.REQUEST_ID]
            agent.ringing[request_id] = self._next_answer()
            self._answer_later(agent, request_id)
        elif name == events.CALL_CANCELLED:
            agent.ringing.pop(json.loads(packet[2:])[1][Key.REQUEST_ID], None)
        elif name == events.CALL_STARTED:
            call = json.loads(packet[2:])[1][Key.CALL]
            agent.call_id = call[Key.CALL_ID]
            self._core.after(
                _LOOK_S * scale, self._look, agent, call[Key.CALL_ID], call[Key.VISITOR_ID]
            )
        elif name == events.CALL_ENDED:
            agent.call_id = None
            for request_id in agent.ringing:
                self._answer_later(agent, request_id)
        elif name == events.AGENT_MARKED_AWAY:
            self._core.after(
                _BACK_AFTER_S * scale, self._act, agent.socket_id, events.AGENT_BACK, []
            )

    def _look(self, agent: _Agent, call_id: str, visitor_id: VisitorId) -> None:
        """Nobody tells an agent that the visitor had left before it accepted: it hangs up when it
        sees nobody."""
        if agent.call_id != call_id:
            return
        visitor = self._core.visitors.get(visitor_id)
        if visitor is not None and self._core.is_anywhere(visitor.socket_id):
            seconds = _LOOK_S * self._core.timings.scale
            self._core.after(seconds, self._look, agent, call_id, visitor_id)
        else:
            self._act(agent.socket_id, events.CALL_END, [{Key.CALL_ID: call_id}])

    def _answer_later(self, agent: _Agent, request_id: str) -> None:
        delay_s = self._behaviour.answer.draw(self._core.random) * self._core.timings.scale
        self._core.after(delay_s, self._answer, agent, request_id)

    def _answer(self, agent: _Agent, request_id: str) -> None:
        if agent.call_id is not None or request_id not in agent.ringing:
            return
        answer = agent.ringing[request_id]
        if answer != "ignore":
            del agent.ringing[request_id]
            self._act(agent.socket_id, _EVENTS[answer], [{Key.REQUEST_ID: request_id}])

    def _next_answer(self) -> str:
        """The one that is furthest behind its share."""
        shares, total = self._behaviour.mix, sum(self._behaviour.mix)
        calls = sum(self._answered) + 1
        behind = [
            share / total * calls - done for share, done in zip(shares, self._answered, strict=True)
        ]
        chosen = behind.index(max(behind))
        self._answered[chosen] += 1
        return ANSWERS[chosen]
