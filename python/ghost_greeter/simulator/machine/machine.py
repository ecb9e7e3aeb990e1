"""The signaling server as a state machine: (time, replica, socket, event) in, packets out. No I/O.

What it does for each event stands in the module of its subject; here is only who gets which event,
and when: with Redis, or with a fault, an event is handled some time after it has come, those of one
socket in their order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from ghost_greeter import events
from ghost_greeter.simulator.machine.agents import Agents
from ghost_greeter.simulator.machine.assignment import Assignment
from ghost_greeter.simulator.machine.builtin import BuiltInAgents
from ghost_greeter.simulator.machine.calls import Calls
from ghost_greeter.simulator.machine.core import Core, Effect, Send
from ghost_greeter.simulator.machine.limits import EventLimits
from ghost_greeter.simulator.machine.reconnect import Reconnects
from ghost_greeter.simulator.machine.relay import COBROWSE_EVENTS, Relay
from ghost_greeter.simulator.machine.staleness import Staleness
from ghost_greeter.simulator.machine.tokens import Tokens
from ghost_greeter.simulator.machine.visitors import Visitors
from ghost_greeter.simulator.setup.behaviour import Behaviour
from ghost_greeter.simulator.setup.faults import Faults
from ghost_greeter.simulator.setup.service import WRITE_SHARE, round_trips, service_s
from ghost_greeter.simulator.setup.setup import Setup

__all__ = ["Machine"]

Handler = Callable[[str, list[Any], int | None], None]


class Machine:
    """All replicas of a server over their state.

    Every method returns what is to be sent, in order. What the real server fails on (it logs the
    exception and goes on) yields nothing.

    :param setup: what kind of server it is.
    :param now_s: the time now, in seconds on a clock that never goes back.
    :param epoch_offset_s: what makes seconds since 1970 of that clock's.
    :param source: where ids and chances come from.
    :ivar core: the records.
    """

    def __init__(
        self,
        setup: Setup | None = None,
        *,
        now_s: float = 0.0,
        epoch_offset_s: float = 0.0,
        faults: Faults | None = None,
        source: random.Random | None = None,
    ) -> None:
        self.setup = setup or Setup()
        self.faults = faults or Faults()
        self.core = core = Core(self.setup, epoch_offset_s, source or random.Random())
        core.now_s = now_s
        self._chance = random.Random(core.random.getrandbits(64))
        self._busy_until_s: dict[str, float] = {}
        self._limits = EventLimits(core)
        assignment = Assignment(core)
        tokens = Tokens(core)
        calls = Calls(core, assignment, self._limits, tokens)
        self._agents = agents = Agents(core, assignment, calls, self._limits)
        self._visitors = visitors = Visitors(core, assignment, calls, self._limits)
        relay = Relay(core)
        self._handlers: dict[str, Handler] = {
            events.VISITOR_JOIN: visitors.join,
            events.AGENT_LOGIN: agents.login,
            events.AGENT_BACK: agents.back,
            events.AGENT_AWAY: agents.away,
            events.AGENT_STATUS: agents.status,
            events.HEARTBEAT: agents.heartbeat,
            events.CALL_REQUEST: calls.request,
            events.CALL_CANCEL: calls.cancel,
            events.CALL_ACCEPT: calls.accept,
            events.CALL_REJECT: calls.reject,
            events.CALL_END: calls.end,
            events.CALL_RECONNECT: Reconnects(core, calls, tokens, visitors).reconnect,
            events.WEBRTC_SIGNAL: relay.signal,
            **{event: partial(relay.cobrowse, event) for event in COBROWSE_EVENTS},
            events.DISCONNECT: self._left,
        }
        self._staleness, self._ring_watch = Staleness(core), calls.watch
        self._inside: BuiltInAgents | None = None
        for node in range(self.setup.replicas):
            self._begin(now_s, node)
            self._look_after()
        core.node = 0

    def _look_after(self) -> None:
        """A replica begins: each looks after agents and calls by itself."""
        self._staleness.start()
        if self.setup.redis:
            self._ring_watch.start_polling()

    def add_agents(self, count: int, behaviour: Behaviour | None = None) -> list[Effect]:
        """Have agents inside the simulator, see :class:`BuiltInAgents`."""

        def act(socket_id: str, event: str, args: list[Any]) -> None:
            if not self.core.redis_down:
                self._handlers[event](socket_id, args, None)

        self._inside = BuiltInAgents(self.core, act, count, behaviour)
        return self._done()

    @property
    def events(self) -> list[str]:
        """The events that it handles; all others are ignored."""
        return [event for event in self._handlers if event != events.DISCONNECT]

    def connected(self, now_s: float, node: int, socket_id: str) -> None:
        """A socket has connected to a replica."""
        self._begin(now_s, node)
        self.core.enter(socket_id)

    def handle(
        self,
        now_s: float,
        node: int,
        socket_id: str,
        event: str,
        args: list[Any],
        ack_id: int | None = None,
    ) -> list[Effect]:
        """An event has come.

        :param args: its arguments; one that is missing is JavaScript's undefined.
        :param ack_id: the id that the client wants it acknowledged under.
        """
        self._begin(now_s, node)
        if event not in self._handlers or self.core.redis_down:
            return []
        self._take(socket_id, event, args, ack_id)
        return self._done()

    def left(self, now_s: float, node: int, socket_id: str) -> list[Effect]:
        """A socket has left its namespace, or is gone."""
        self._begin(now_s, node)
        self.core.leave(socket_id)
        self._take(socket_id, events.DISCONNECT, [], None)
        return self._done()

    def ended(self, now_s: float, node: int) -> None:
        """A replica's process has ended: with all its sockets, and with all that it was about to
        do. In Redis everything stays as it was."""
        self._begin(now_s, node)
        for socket_id in self.core.end_replica():
            self._busy_until_s.pop(socket_id, None)

    def restarted(self, now_s: float, node: int) -> list[Effect]:
        """A replica that had ended is there again, over what is in Redis."""
        self._begin(now_s, node)
        self._look_after()
        if self._inside is not None:
            self._inside.return_to(node)
        return self._done()

    @property
    def next_due_s(self) -> float | None:
        """When :meth:`advance` has something to do; None for never."""
        return self.core.timers.next_due_s

    def advance(self, now_s: float) -> list[Effect]:
        """Do what is due by now, each thing at its own time."""
        core = self.core
        while (due := core.timers.pop(now_s)) is not None:
            timer, function, arguments = due
            self._begin(timer.due_s, timer.node)
            function(*arguments)
        return self._done()

    # -- inside ----------------------------------------------------------------------------------

    def _begin(self, now_s: float, node: int) -> None:
        self.core.now_s = now_s
        self.core.node = node
        self.core.service_s = 0.0
        self.core.redis_down = self.setup.redis and self.faults.redis_down
        self._limits.overrides = self.faults.rate_limits

    def _done(self) -> list[Effect]:
        effects, self.core.effects = self.core.effects, []
        if self.faults.drop > 0:
            return [effect for effect in effects if not self._is_dropped(effect)]
        return effects

    def _is_dropped(self, effect: Effect) -> bool:
        if not isinstance(effect, Send):
            return False
        packet = effect.packet
        name = packet[4 : packet.index('"', 4)] if packet.startswith('42["') else packet[:2]
        dropped = self.faults.drops(name, self._chance)
        if dropped:
            self.core.outcomes["dropped"] += 1
        return dropped

    def _take(self, socket_id: str, event: str, args: list[Any], ack_id: int | None) -> None:
        """Handle the event, now or when its time has come."""
        core = self.core
        delay_s, service = self._delays_s(event)
        due_s = max(core.now_s + delay_s, self._busy_until_s.get(socket_id, 0.0))
        if due_s <= core.now_s:
            self._run(socket_id, event, args, ack_id, service)
            return
        self._busy_until_s[socket_id] = due_s
        wait_s = due_s - core.now_s
        core.after(wait_s, self._run, socket_id, event, args, ack_id, service)

    def _run(
        self, socket_id: str, event: str, args: list[Any], ack_id: int | None, service: float
    ) -> None:
        self.core.service_s = service
        if self.core.redis_down and event != events.DISCONNECT:
            return  # it has gone down while the event was being handled
        self._handlers[event](socket_id, args, ack_id)

    def _delays_s(self, event: str) -> tuple[float, float]:
        """Until the event is handled, and how long that takes."""
        here = self.core.sockets_here
        delay_s, service = self.faults.event_s(event, here, self._chance), 0.0
        if self.setup.redis:
            service = service_s(event, self._chance)
            service += self.faults.redis_s(round_trips(event), here, self._chance)
            delay_s += service * (1 - WRITE_SHARE if event in _WRITES_LATER else 1)
        return delay_s, service

    def _left(self, socket_id: str, _args: list[Any], _ack_id: int | None) -> None:
        self._busy_until_s.pop(socket_id, None)
        self._visitors.left(socket_id)
        self._agents.left(socket_id)


_WRITES_LATER = (events.VISITOR_JOIN, events.DISCONNECT)
