"""The visitor's side of a call: ask, hear what becomes of it, talk, hang up."""

from __future__ import annotations

import time
from typing import Literal

from ghost_greeter import events
from ghost_greeter.events import Key, Reason
from ghost_greeter.metrics.call import (
    EVENTS_DUPLICATED,
    EVENTS_LOST,
    EVENTS_MISDELIVERED,
    SIGNAL_ROUND_TRIP,
    SIGNALS_LOST,
    SIGNALS_MISDELIVERED,
)
from ghost_greeter.payloads import payload_of
from ghost_greeter.switchboard import CallLog, Switchboard
from ghostcore import VU, ErrorReply, Event, SocketIOSession, Timeout

__all__ = ["Caller", "Outcome"]

Outcome = Literal["accepted", "rejected", "timed_out"]

ENDED_TIMEOUT_S = 5.0
"""How long the echo of call:end may take."""

SIGNALS = ("offer", "candidate", "candidate")
"""What a visitor sends in an accepted call; the agent answers each."""

REASONS: dict[object, Outcome] = {Reason.AGENT_AWAY: "rejected", Reason.RING_TIMEOUT: "timed_out"}
"""Of agent:unavailable, where it is the end of a call. Other reasons say that the agent has gone,
or is in another call: the request lives on, and its outcome is still to come."""

EVENTS = (
    events.CALL_ACCEPTED,
    events.CALL_ENDED,
    events.AGENT_ASSIGNED,
    events.AGENT_UNAVAILABLE,
    events.AGENT_REASSIGNED,
    events.WEBRTC_SIGNAL,
    events.ERROR,
)


class Caller:
    """A visitor that has joined.

    :param joined: the answer to its join.
    :param default_agent_id: whom it asks for if the answer named nobody.
    :ivar agent_id: whom it would ask for now.
    :ivar told_unavailable: since it asked, it was told that its agent is not there.
    """

    def __init__(
        self,
        vu: VU,
        session: SocketIOSession,
        board: Switchboard,
        joined: Event,
        default_agent_id: str,
    ) -> None:
        self._vu = vu
        self._session = session
        self._board = board
        self._default_agent_id = default_agent_id
        self.visitor_id = str(payload_of(joined).get(Key.VISITOR_ID, ""))
        self.agent_id = default_agent_id
        self.told_unavailable = False
        self.peer_id = ""
        self.log = CallLog(self.visitor_id, default_agent_id, 0)
        self._note(joined)

    # -- what arrives ----------------------------------------------------------------------------

    async def _next(self, until_ns: int) -> Event | None:
        """The next event; None if there is none until then.

        :raises TargetError: the connection has ended.
        """
        left_s = max(0, until_ns - time.monotonic_ns()) / 1e9
        try:
            return await self._session.wait_for(*EVENTS, timeout=left_s)
        except Timeout as error:
            if error.kind != "reply_timeout":
                raise
            return None

    def _note(self, event: Event) -> None:
        """Who is there for this visitor, as the server says. It is in no call."""
        payload = payload_of(event)
        if event.name in (events.CALL_ACCEPTED, events.CALL_ENDED):
            self._board.record(EVENTS_MISDELIVERED, event=event.name)
        agent = payload.get(Key.AGENT if event.name == events.AGENT_ASSIGNED else Key.NEW_AGENT)
        if event.name == events.AGENT_UNAVAILABLE:
            self.agent_id = self._default_agent_id
        elif isinstance(agent, dict) and isinstance(agent.get(Key.ID), str):
            self.agent_id = agent[Key.ID]

    async def browse(self, seconds: float) -> None:
        """Look at the page for that long; the agent may change meanwhile."""
        until_ns = _in_ns(seconds)
        while (event := await self._next(until_ns)) is not None:
            self._note(event)

    # -- the call --------------------------------------------------------------------------------

    def ask(self) -> None:
        """Send call:request."""
        self.log = CallLog(self.visitor_id, self.agent_id, time.monotonic_ns())
        self._board.asked(self.log)
        self._session.emit(events.CALL_REQUEST, {Key.AGENT_ID: self.agent_id})

    async def outcome(self, deadline_s: float) -> tuple[Outcome, Event]:
        """Wait for what the visitor can see of its call.

        :raises Timeout: kind ``reply_timeout``: nothing until the deadline.
        :raises ErrorReply: the event ``error``. :raises TargetError: the connection has ended.
        """
        until_ns = self.log.asked_ns + round(deadline_s * 1e9)
        while (event := await self._next(until_ns)) is not None:
            if event.arrived_ns < self.log.asked_ns:
                self._note(event)
                continue
            if event.name == events.CALL_ACCEPTED:
                self._accepted(event)
                return "accepted", event
            if event.name == events.ERROR:
                raise ErrorReply(
                    f"{events.CALL_REQUEST} was answered with {str(event.args)[:200]}", event=event
                )
            self._note(event)
            if event.name == events.AGENT_UNAVAILABLE:
                reason = REASONS.get(payload_of(event).get(Key.REASON))
                if reason is not None:
                    return reason, event
                self.told_unavailable = True
        raise Timeout(
            f"{events.CALL_REQUEST} had no outcome within {deadline_s:g} s",
            kind="reply_timeout",
            limit_s=deadline_s,
        )

    def _accepted(self, event: Event) -> None:
        payload = payload_of(event)
        self.peer_id = str(payload.get(Key.AGENT_ID, ""))
        call_id = str(payload.get(Key.CALL_ID, ""))
        self._board.accepted(self.log, call_id, self.peer_id, event.arrived_ns)

    async def talk(self, seconds: float) -> str:
        """Hold the accepted call and exchange some signals.

        :returns: why the other side ended it meanwhile; "" if it did not.
        """
        until_ns = _in_ns(seconds)
        for number, kind in enumerate(SIGNALS):
            self._signal(kind, number)
        reason = ""
        while not reason and (event := await self._next(until_ns)) is not None:
            if self._is_end(event):
                reason = str(payload_of(event).get(Key.REASON, "unknown"))
        if not reason and self.peer_id in self._board.agents:
            self._board.record(SIGNALS_LOST, self.log.up.lost + self.log.down.lost)
        return reason

    async def hang_up(self) -> bool:
        """Send call:end; whether its echo came."""
        await self._session.emit(events.CALL_END, {Key.CALL_ID: self.log.call_id})
        until_ns = _in_ns(ENDED_TIMEOUT_S)
        while (event := await self._next(until_ns)) is not None:
            if self._is_end(event):
                self._board.record(EVENTS_LOST, 0)
                return True
        self._board.record(EVENTS_LOST, event=events.CALL_ENDED)
        return False

    def _is_end(self, event: Event) -> bool:
        """Deal with an event in a call; whether it is the end of it."""
        if event.name == events.WEBRTC_SIGNAL:
            self._on_signal(event)
        elif event.name == events.CALL_ACCEPTED:
            again = payload_of(event).get(Key.CALL_ID) == self.log.call_id
            self._board.record(
                EVENTS_DUPLICATED if again else EVENTS_MISDELIVERED, event=event.name
            )
        elif event.name == events.CALL_ENDED:
            if payload_of(event).get(Key.CALL_ID) == self.log.call_id:
                return True
            self._board.record(EVENTS_MISDELIVERED, event=event.name)
        return False

    def leave(self) -> None:
        """The visitor goes: what comes for it later is nobody's."""
        self._board.forget(self.log)

    # -- signals ---------------------------------------------------------------------------------

    def _signal(self, kind: str, number: int) -> None:
        signal = {
            Key.SIGNAL_TYPE: kind,
            Key.SIGNAL_NUMBER: number,
            Key.SIGNAL_FROM: self.visitor_id,
            Key.SIGNAL_TO: self.peer_id,
        }
        self._board.signal_sent(self.log, "up", number, time.monotonic_ns())
        self._session.emit(events.WEBRTC_SIGNAL, {Key.TARGET_ID: self.peer_id, Key.SIGNAL: signal})

    def _on_signal(self, event: Event) -> None:
        signal = payload_of(event).get(Key.SIGNAL)
        if not isinstance(signal, dict) or Key.SIGNAL_TO not in signal:
            return  # not from an agent of a pool
        number = signal.get(Key.SIGNAL_NUMBER)
        if signal[Key.SIGNAL_TO] != self.visitor_id or signal.get(Key.SIGNAL_FROM) != self.peer_id:
            self._board.record(SIGNALS_MISDELIVERED)
            return
        local = self.peer_id in self._board.agents
        if local and not self._board.signal_arrived(self.log, "down", number, event.arrived_ns):
            return
        sent_ns = self.log.up.sent_ns.get(number) if isinstance(number, int) else None
        if sent_ns is not None:
            self._board.record(SIGNAL_ROUND_TRIP, (event.arrived_ns - sent_ns) / 1e6)


def _in_ns(seconds: float) -> int:
    return time.monotonic_ns() + round(seconds * 1e9)
