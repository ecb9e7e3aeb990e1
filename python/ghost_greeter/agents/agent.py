"""One agent: logs in, comes back, shows that it is alive, answers calls, and does so for ever."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ghost_greeter import events
from ghost_greeter.agents.agent_settings import AgentSettings, Answer
from ghost_greeter.agents.identities import Identity
from ghost_greeter.events import Key
from ghost_greeter.metrics import agents as metrics
from ghost_greeter.metrics.call import (
    EVENTS_DUPLICATED,
    EVENTS_LOST,
    EVENTS_MISDELIVERED,
    SIGNALS_MISDELIVERED,
)
from ghost_greeter.payloads import payload_of
from ghost_greeter.switchboard import Switchboard
from ghostcore import Event, SocketIOSession, TargetError, Timeout, socketio

__all__ = ["Agent", "Desk"]

CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 10.0
STARTED_TIMEOUT_S = 5.0
"""How long the answer to call:accept may take."""

RECENT = 256
"""Call requests whose ids an agent remembers, to know those that come twice."""

NOT_HEEDED = (events.LOGIN_SUCCESS, events.STATS_UPDATE)
"""Taken and dropped: a session keeps what nobody takes, in place of what somebody will."""


class Desk(Protocol):
    """What the agents of a pool share."""

    settings: AgentSettings
    board: Switchboard

    def next_answer(self) -> Answer:
        """How to answer the next call."""
        ...

    def online(self, change: int) -> None:
        """That many more agents are there."""


@dataclass(slots=True, eq=False)
class _Ring:
    """A call that rings."""

    request_id: str
    visitor_id: Any
    answer: Answer
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Call:
    """A call that the agent is in."""

    call_id: str
    visitor_id: Any
    timer: asyncio.TimerHandle


class Agent:
    """An agent of a pool.

    :param source: of its random choices.
    :ivar free_since_ns: since when it has been free (``time.monotonic_ns()``).
    """

    def __init__(self, identity: Identity, desk: Desk, source: random.Random) -> None:
        self.agent_id = identity.agent_id
        self.free_since_ns = 0
        self._identity = identity
        self._desk = desk
        self._board = desk.board
        self._settings = desk.settings
        self._random = source
        self._session: SocketIOSession | None = None
        self._ringing: dict[str, _Ring] = {}
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._accepting: _Ring | None = None
        self._late: _Ring | None = None  # accepted, and given up waiting for call:started
        self._call: _Call | None = None
        self._last_call_id = ""
        self._away = True
        self._heartbeat_at_s = 0.0
        self._back_at_s = float("inf")
        self._handlers: dict[str, Callable[[Event, dict[str, Any]], None]] = {
            events.CALL_INCOMING: self._on_incoming,
            events.CALL_CANCELLED: self._on_cancelled,
            events.CALL_STARTED: self._on_started,
            events.CALL_ENDED: self._on_ended,
            events.AGENT_MARKED_AWAY: self._on_marked_away,
            events.WEBRTC_SIGNAL: self._on_signal,
            events.ERROR: self._on_error,
        }

    @property
    def is_free(self) -> bool:
        """Can it take a call now?"""
        return not self._away and self._call is None and self._accepting is None

    # -- coming and going ------------------------------------------------------------------------

    async def log_in(self) -> None:
        """Connect, log in, come back.

        :raises TargetError: what the server did instead; nothing is left open.
        """
        began_ns = time.monotonic_ns()
        settings = self._settings
        session = await socketio(settings.url, timeout=CONNECT_TIMEOUT_S)
        try:
            login = {
                Key.AGENT_ID: self.agent_id,
                Key.TOKEN: self._identity.token,
                Key.PROFILE: _profile(self.agent_id),
            }
            await session.request(
                events.AGENT_LOGIN,
                login,
                reply=events.LOGIN_SUCCESS,
                error=events.ERROR,
                timeout=REPLY_TIMEOUT_S,
            )
            await self._come_back(session)
        except BaseException:
            session.abort()
            raise
        self._session = session
        self._board.record(metrics.LOGINS)
        self._board.record(metrics.LOGIN_TIME, (time.monotonic_ns() - began_ns) / 1e6)
        self._desk.online(1)

    async def serve(self) -> None:
        """Answer calls until cancelled; come back whenever the connection is lost."""
        failures = 0
        while True:
            session = self._session
            if session is not None:
                try:
                    await self._attend(session)
                except TargetError as error:
                    self._board.record(metrics.DISCONNECTS, kind=error.kind)
                self._gone()
                failures = 0
            await asyncio.sleep(self._settings.back_off_s(failures, self._random))
            try:
                await self.log_in()
            except TargetError as error:
                failures += 1
                self._board.record(metrics.LOGIN_FAILURES, kind=error.kind)

    async def leave(self) -> None:
        """Disconnect. The agent does not serve any more."""
        session = self._session
        if session is not None:
            self._gone()
            if session.is_open:
                await session.disconnect()

    def _gone(self) -> None:
        """The connection has ended, and with it all that was going on."""
        self._session = None
        self._desk.online(-1)
        for ring in (*self._ringing.values(), self._accepting):
            if ring is not None:
                _stop(ring.timer)
        if self._call is not None:
            self._call.timer.cancel()
        self._ringing.clear()
        self._accepting = self._late = self._call = None
        self._away = True

    async def _come_back(self, session: SocketIOSession) -> None:
        """agent:back, acknowledged: from now on there are visitors and calls."""
        self._away = False
        self.free_since_ns = time.monotonic_ns()
        # Not all of those that came at one moment at one moment again.
        self._heartbeat_at_s = time.monotonic() + self._settings.heartbeat_s * self._random.random()
        self._back_at_s = float("inf")
        answer = await session.call(events.AGENT_BACK, timeout=REPLY_TIMEOUT_S)
        if not (isinstance(answer, dict) and answer.get(Key.SUCCESS)):
            self._board.record(metrics.ERRORS, code="AGENT_BACK")

    # -- one connection --------------------------------------------------------------------------

    async def _attend(self, session: SocketIOSession) -> None:
        """Deal with what comes, until the connection ends.

        :raises TargetError: why it ended.
        """
        while True:
            until_s = min(self._heartbeat_at_s, self._back_at_s)
            try:
                event = await session.wait_for(
                    *self._handlers, *NOT_HEEDED, timeout=max(0.0, until_s - time.monotonic())
                )
            except Timeout as error:
                if error.kind != "reply_timeout":
                    raise
                await self._due(session)
                continue
            handler = self._handlers.get(event.name)
            if handler is not None:
                handler(event, payload_of(event))

    async def _due(self, session: SocketIOSession) -> None:
        now_s = time.monotonic()
        if now_s >= self._back_at_s:
            if self._call is None and self._accepting is None:
                await self._come_back(session)
            else:
                self._back_at_s = float("inf")  # it is at work: idle again when the call ends
        elif now_s >= self._heartbeat_at_s:
            self._heartbeat_at_s = now_s + self._settings.heartbeat_s
            await session.emit(events.HEARTBEAT, {Key.TIMESTAMP: time.time_ns() // 1_000_000})

    def _send(self, event: str, payload: dict[str, Any]) -> None:
        """From a timer: the end of a connection is noticed by who waits for events of it."""
        session = self._session
        if session is not None and session.is_open:
            try:
                session.emit(event, payload)
            except TargetError:
                return

    def _later(self, delay_s: float, function: Callable[..., None], *arguments: Any) -> Any:
        return asyncio.get_running_loop().call_later(delay_s, function, *arguments)

    # -- calls that ring -------------------------------------------------------------------------

    def _on_incoming(self, event: Event, payload: dict[str, Any]) -> None:
        request = _part(payload, Key.REQUEST)
        request_id, visitor_id = request.get(Key.REQUEST_ID), request.get(Key.VISITOR_ID)
        if not isinstance(request_id, str):
            return
        if request_id in self._recent:
            self._board.record(EVENTS_DUPLICATED, event=event.name)
            return
        self._recent.append(request_id)
        if request.get(Key.AGENT_ID) != self.agent_id:
            self._board.record(EVENTS_MISDELIVERED, event=event.name)
            return
        self._board.record(metrics.INCOMING)
        self._board.rang(self, visitor_id, event.arrived_ns)
        ring = self._ringing[request_id] = _Ring(request_id, visitor_id, self._desk.next_answer())
        if self._call is not None:
            self._decline()
        elif ring.answer == "ignore":
            self._board.record(metrics.IGNORED)
            # The server marks it away then, and says so; or, with several replicas, says nothing.
            self._back_at_s = min(self._back_at_s, time.monotonic() + self._settings.unheard_back_s)
        else:
            self._answer_later(ring)

    def _answer_later(self, ring: _Ring) -> None:
        ring.timer = self._later(self._settings.answer.draw(self._random), self._answer, ring)

    def _answer(self, ring: _Ring) -> None:
        if ring.request_id not in self._ringing:
            return
        if ring.answer == "reject":
            del self._ringing[ring.request_id]
            self._board.record(metrics.REJECTED)
            self._send(events.CALL_REJECT, {Key.REQUEST_ID: ring.request_id})
        elif self._call is None and self._accepting is None:
            del self._ringing[ring.request_id]
            self._accepting = ring
            self._board.accepting(self, ring.visitor_id, time.monotonic_ns())
            self._send(events.CALL_ACCEPT, {Key.REQUEST_ID: ring.request_id})
            ring.timer = self._later(STARTED_TIMEOUT_S, self._not_started, ring)
        # Else when it is known what has become of the other.

    def _decline(self) -> None:
        """In a call: what else rings is for others. The server passes it on at once; if it rang on,
        the visitor would wait until this call is over, or for ring-no-answer."""
        for ring in list(self._ringing.values()):
            if ring.answer != "ignore":
                _stop(ring.timer)
                del self._ringing[ring.request_id]
                self._board.record(metrics.DECLINED)
                self._send(events.CALL_REJECT, {Key.REQUEST_ID: ring.request_id})

    def _not_started(self, ring: _Ring) -> None:
        self._board.record(EVENTS_LOST, event=events.CALL_STARTED)
        self._late = ring
        self._free()

    def _on_cancelled(self, event: Event, payload: dict[str, Any]) -> None:
        ring = self._ringing.pop(_field(payload, Key.REQUEST_ID), None)
        if ring is not None:
            _stop(ring.timer)
            self._board.record(metrics.CANCELLED)

    def _on_error(self, event: Event, payload: dict[str, Any]) -> None:
        code = _field(payload, Key.CODE)
        self._board.record(metrics.ERRORS, code=code[:40] or "UNKNOWN")
        if self._accepting is not None:  # it was cancelled, or somebody else had it
            _stop(self._accepting.timer)
            self._free()

    # -- calls -----------------------------------------------------------------------------------

    def _on_started(self, event: Event, payload: dict[str, Any]) -> None:
        call = _part(payload, Key.CALL)
        call_id, visitor_id = _field(call, Key.CALL_ID), call.get(Key.VISITOR_ID)
        if self._call is not None and self._call.call_id == call_id:
            self._board.record(EVENTS_DUPLICATED, event=event.name)
            return
        expected = [
            ring
            for ring in (self._accepting, self._late)
            if ring is not None and ring.visitor_id == visitor_id
        ]
        if not expected or self._call is not None:
            self._board.record(EVENTS_MISDELIVERED, event=event.name)
            return
        _stop(expected[0].timer)
        self._accepting = self._late = None
        self._board.record(metrics.ACCEPTED)
        timer = self._later(self._settings.longest_call_s, self._end, call_id)
        self._call = _Call(call_id, visitor_id, timer)
        self._decline()

    def _end(self, call_id: str) -> None:
        """The visitor has not ended the call: it may have left before it began."""
        self._board.record(metrics.ENDED)
        self._send(events.CALL_END, {Key.CALL_ID: call_id})

    def _on_ended(self, event: Event, payload: dict[str, Any]) -> None:
        call_id = _field(payload, Key.CALL_ID)
        call = self._call
        if call is not None and call.call_id == call_id:
            call.timer.cancel()
            self._last_call_id = call_id
            self._call = None
            self._away = False
            self._free(event.arrived_ns)
        elif call_id == self._last_call_id:
            self._board.record(EVENTS_DUPLICATED, event=event.name)
        elif self._board.agent_of(call_id) not in ("", self.agent_id):
            self._board.record(EVENTS_MISDELIVERED, event=event.name)
        elif self._board.agent_of(call_id) and self._accepting is not None:
            # call:started was lost, this was not.
            _stop(self._accepting.timer)
            self._board.record(EVENTS_LOST, event=events.CALL_STARTED)
            self._free(event.arrived_ns)

    def _free(self, at_ns: int = 0) -> None:
        """No call any more: what rings is answered in its time."""
        self._accepting = None
        self.free_since_ns = at_ns or time.monotonic_ns()
        for ring in self._ringing.values():
            if ring.answer != "ignore":
                _stop(ring.timer)
                self._answer_later(ring)

    def _on_marked_away(self, event: Event, payload: dict[str, Any]) -> None:
        self._away = True
        self._board.record(metrics.MARKED_AWAY, reason=_field(payload, Key.REASON)[:40])
        self._back_at_s = time.monotonic() + self._random.uniform(*self._settings.back_s)

    # -- signals ---------------------------------------------------------------------------------

    def _on_signal(self, event: Event, payload: dict[str, Any]) -> None:
        """Answer a visitor's signal by one with the same number."""
        signal = _part(payload, Key.SIGNAL)
        if Key.SIGNAL_TO not in signal:  # not one of ours
            return
        visitor_id, number = signal.get(Key.SIGNAL_FROM), signal.get(Key.SIGNAL_NUMBER)
        if signal[Key.SIGNAL_TO] != self.agent_id:
            self._board.record(SIGNALS_MISDELIVERED)
            return
        log = self._board.log_of(visitor_id)
        if log is not None:
            if not self._board.signal_arrived(log, "up", number, event.arrived_ns):
                return
            assert isinstance(number, int)
            self._board.signal_sent(log, "down", number, time.monotonic_ns())
        answer = {
            Key.SIGNAL_TYPE: "answer" if signal.get(Key.SIGNAL_TYPE) == "offer" else "candidate",
            Key.SIGNAL_NUMBER: number,
            Key.SIGNAL_FROM: self.agent_id,
            Key.SIGNAL_TO: visitor_id,
        }
        self._send(events.WEBRTC_SIGNAL, {Key.TARGET_ID: visitor_id, Key.SIGNAL: answer})


def _profile(agent_id: str) -> dict[str, Any]:
    media = (
        Key.AVATAR_URL,
        Key.WAVE_VIDEO_URL,
        Key.INTRO_VIDEO_URL,
        Key.CONNECT_VIDEO_URL,
        Key.LOOP_VIDEO_URL,
    )
    return {Key.DISPLAY_NAME: f"Load agent {agent_id}", **dict.fromkeys(media)}


def _part(payload: dict[str, Any], name: str) -> dict[str, Any]:
    part = payload.get(name)
    return part if isinstance(part, dict) else {}


def _field(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
