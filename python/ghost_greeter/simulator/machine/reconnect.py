"""call:reconnect: back into a call on a new socket. Needs a database."""

from __future__ import annotations

import json
from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key, Reason
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.calls import Calls
from ghost_greeter.simulator.machine.core import Core
from ghost_greeter.simulator.machine.model import Agent, Call, Visitor
from ghost_greeter.simulator.machine.tokens import TokenRecord, Tokens
from ghost_greeter.simulator.machine.visitors import Visitors

__all__ = ["Reconnects"]


class Reconnects:
    """Handler of call:reconnect."""

    def __init__(self, core: Core, calls: Calls, tokens: Tokens, visitors: Visitors) -> None:
        self._core = core
        self._calls = calls
        self._tokens = tokens
        self._visitors = visitors

    def reconnect(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """call:reconnect, by either side; without a token there is no answer."""
        payload = args[0] if args else None
        if not isinstance(payload, dict) or not isinstance(payload.get(Key.RECONNECT_TOKEN), str):
            return
        token = payload[Key.RECONNECT_TOKEN]
        record = self._tokens.find(token)
        if record is None:
            self._fail(socket_id, "", Reason.NO_CALL, "No active call found")
        elif payload.get(Key.ROLE) == "agent":
            self._agent_returns(socket_id, record)
        else:
            self._visitor_returns(socket_id, record)

    def _visitor_returns(self, socket_id: str, record: TokenRecord) -> None:
        core = self._core
        visitor = self._visitors.restore(socket_id, record.visitor_id, record.org, record.page)
        agent = core.agents.get(record.agent_id)
        if agent is None or agent.socket_id is None:
            self._wait(socket_id, record)
        else:
            self._join_up(socket_id, visitor, agent, record)

    def _agent_returns(self, socket_id: str, record: TokenRecord) -> None:
        core = self._core
        agent = core.agent_of_socket.get(socket_id)
        visitor = core.visitors.get(record.visitor_id)
        if agent is None or agent.agent_id != record.agent_id:
            self._fail(socket_id, "", Reason.NO_CALL, "No active call found")
        elif visitor is None:
            self._wait(socket_id, record)
        else:
            self._join_up(socket_id, visitor, agent, record)

    def _join_up(self, socket_id: str, visitor: Visitor, agent: Agent, record: TokenRecord) -> None:
        """Both are there: a new call with a new token. It may last: its timer is not set again."""
        core = self._core
        for busy in (visitor.call, agent.call):
            if busy is not None and busy.call_id != record.call_id:
                self._give_up(socket_id, record)
                return
        if visitor.call is not None:
            self._calls.finish(visitor.call, "", tell_visitor=False, tell_agent=False)
        self._tokens.revoke(record.token)
        call = Call(core.new_id("call"), visitor.visitor_id, agent, core.epoch_ms)
        self._tokens.give(call, float("inf"))
        core.outcomes["reconnected"] += 1
        self._calls.start(call)
        core.send(visitor.socket_id, packets.call_reconnected(call, agent, agent))
        core.send(agent.socket_id, packets.call_reconnected(call, visitor))

    def _wait(self, socket_id: str, record: TokenRecord) -> None:
        """The other side has not come back yet."""
        core = self._core
        record.waiting = socket_id
        if record.timer is not None:
            record.timer.cancel()
        seconds = core.timings.reconnect_s
        record.timer = core.after(seconds, self._timed_out, record)
        core.send(
            socket_id,
            packets.event(
                events.CALL_RECONNECTING,
                {
                    Key.CALL_ID: record.call_id,
                    Key.MESSAGE: "Waiting for the other party to reconnect...",
                    Key.TIMEOUT_SECONDS: json.loads(f"{seconds:g}"),
                },
            ),
        )

    def _timed_out(self, record: TokenRecord) -> None:
        assert record.waiting is not None
        self._tokens.revoke(record.token)
        self._fail(record.waiting, record.call_id, Reason.TIMEOUT, "Reconnection timed out")

    def _give_up(self, socket_id: str, record: TokenRecord) -> None:
        self._tokens.revoke(record.token)
        self._fail(
            socket_id,
            record.call_id,
            Reason.OTHER_PARTY_DISCONNECTED,
            "The other party is no longer in the call",
        )

    def _fail(self, socket_id: str, call_id: str, reason: str, message: str) -> None:
        failure = {Key.CALL_ID: call_id, Key.REASON: reason, Key.MESSAGE: message}
        self._core.send(socket_id, packets.event(events.CALL_RECONNECT_FAILED, failure))
