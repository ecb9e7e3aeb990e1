"""Both ends of a call in one process and on one clock: what one sends and the other gets.

Visitors note what they ask for and send, agents of the same run what reaches them. So one-way times
are known, and what was lost, came twice or reached the wrong one. Where the agents are elsewhere, a
visitor has its half only: round trips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ghost_greeter import events
from ghost_greeter.metrics.call import (
    ACCEPT_TO_ACCEPTED,
    EVENTS_MISDELIVERED,
    QUEUED,
    REQUEST_TO_INCOMING,
    SIGNAL_TIME,
    SIGNALS_DUPLICATED,
    SIGNALS_MISDELIVERED,
    SIGNALS_RECEIVED,
    SIGNALS_SENT,
)
from ghost_greeter.shared import Shared
from ghostcore import VU

__all__ = ["CallLog", "Switchboard", "join_switchboard"]

Direction = Literal["up", "down"]
"""Of a signal: up from the visitor to the agent, down from the agent to the visitor."""


@dataclass(slots=True)
class Signals:
    """The signals of one call in one direction: when each was sent, by number, and which came."""

    sent_ns: dict[int, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    @property
    def lost(self) -> int:
        """Sent and not seen so far."""
        return len(self.sent_ns.keys() - self.seen)


@dataclass(slots=True)
class CallLog:
    """One call:request, as both ends saw it. Times are those of ``time.monotonic_ns()``.

    :ivar agent_id: the agent that was asked for. :ivar agent_busy: it is of this run, and was not
        free when it was asked for.
    :ivar rings: how often the call rang at agents of this run.
    :ivar accepter: the agent of this run that sent call:accept. :ivar accept_ns: when.
    :ivar call_id: of the call that came of it.
    """

    visitor_id: str
    agent_id: str
    asked_ns: int
    agent_busy: bool = False
    rings: int = 0
    accepter: str = ""
    accept_ns: int = 0
    call_id: str = ""
    up: Signals = field(default_factory=Signals)
    down: Signals = field(default_factory=Signals)

    def came_to(self) -> str:
        """How far a call came of which the visitor heard nothing."""
        if self.accepter:
            return "accepted"
        if self.rings:
            return "rang"
        return "queued" if self.agent_busy else "never_rang"


class Callee(Protocol):
    """What is asked of an agent.

    :ivar free_since_ns: since when it has been free of calls and not away.
    """

    agent_id: str
    free_since_ns: int

    @property
    def is_free(self) -> bool:
        """Can it take a call now?"""
        ...


class Switchboard:
    """Where visitors and agents of one run in one process meet.

    :ivar agents: the agents of this run, by their ids.
    """

    def __init__(self) -> None:
        self.agents: dict[str, Callee] = {}
        self._logs: dict[str, CallLog] = {}
        self._agent_of_call: dict[str, str] = {}
        self._vu: VU | None = None
        self._early: list[tuple[Any, float, dict[str, str]]] = []

    # -- metrics ---------------------------------------------------------------------------------

    def open(self) -> dict[str, str]:
        """Let visitors find it.

        :returns: by what they do, as the set-up of the run is to return it.
        """
        return _SWITCHBOARDS.offer(self)

    def close(self) -> None:
        """No visitor is left."""
        _SWITCHBOARDS.withdraw(self)
        self._vu = None

    def attach(self, vu: VU) -> None:
        """Record by way of this user. What agents did before there was one is recorded now."""
        self._vu = vu
        if self._early:
            early, self._early = self._early, []
            for metric, value, tags in early:
                vu.record(metric, value, **tags)

    def record(self, metric: Any, value: float = 1, **tags: str) -> None:
        """As ``vu.record()``, for agents."""
        if self._vu is None:
            self._early.append((metric, value, tags))
        else:
            self._vu.record(metric, value, **tags)

    # -- calls -----------------------------------------------------------------------------------

    def asked(self, log: CallLog) -> None:
        """A visitor asks for a call now."""
        agent = self.agents.get(log.agent_id)
        log.agent_busy = agent is not None and not agent.is_free
        self._logs[log.visitor_id] = log

    def forget(self, log: CallLog) -> None:
        """The visitor has left."""
        self._agent_of_call.pop(log.call_id, None)
        if self._logs.get(log.visitor_id) is log:
            del self._logs[log.visitor_id]

    def log_of(self, visitor_id: object) -> CallLog | None:
        """The call of a visitor of this run; None for another's."""
        return self._logs.get(visitor_id) if isinstance(visitor_id, str) else None

    def rang(self, agent: Callee, visitor_id: object, arrived_ns: int) -> None:
        """A call has reached an agent."""
        log = self.log_of(visitor_id)
        if log is None:
            return
        log.rings += 1
        if log.rings > 1:
            return
        self.record(REQUEST_TO_INCOMING, (arrived_ns - log.asked_ns) / 1e6)
        if log.asked_ns < agent.free_since_ns:
            self.record(QUEUED)

    def accepting(self, agent: Callee, visitor_id: object, at_ns: int) -> None:
        """An agent sends call:accept."""
        log = self.log_of(visitor_id)
        if log is not None:
            log.accepter, log.accept_ns = agent.agent_id, at_ns

    def accepted(self, log: CallLog, call_id: str, agent_id: str, arrived_ns: int) -> None:
        """The visitor has call:accepted."""
        log.call_id = call_id
        self._agent_of_call[call_id] = agent_id
        if log.accepter == agent_id:
            self.record(ACCEPT_TO_ACCEPTED, (arrived_ns - log.accept_ns) / 1e6)
        elif agent_id in self.agents:  # of ours, but it accepted another's call, or none
            self.record(EVENTS_MISDELIVERED, event=events.CALL_ACCEPTED)

    def agent_of(self, call_id: str) -> str:
        """Whose call it is, as the visitor was told; "" if no visitor of this run has it."""
        return self._agent_of_call.get(call_id, "")

    # -- signals ---------------------------------------------------------------------------------

    def signal_sent(self, log: CallLog, direction: Direction, number: int, at_ns: int) -> None:
        """One side sends a signal."""
        (log.up if direction == "up" else log.down).sent_ns[number] = at_ns
        self.record(SIGNALS_SENT)

    def signal_arrived(
        self, log: CallLog, direction: Direction, number: object, at_ns: int
    ) -> bool:
        """The other side got it; whether it is the first time."""
        signals = log.up if direction == "up" else log.down
        sent_ns = signals.sent_ns.get(number) if isinstance(number, int) else None
        if sent_ns is None:
            self.record(SIGNALS_MISDELIVERED)
            return False
        if number in signals.seen:
            self.record(SIGNALS_DUPLICATED)
            return False
        assert isinstance(number, int)
        signals.seen.add(number)
        self.record(SIGNALS_RECEIVED)
        self.record(SIGNAL_TIME, (at_ns - sent_ns) / 1e6)
        return True


_SWITCHBOARDS: Shared[Switchboard] = Shared("switchboard")


def join_switchboard(vu: VU) -> Switchboard | None:
    """Have the switchboard of this run record through `vu` from now on.

    Every scenario whose visitors have agents begins with it: what agents go through is recorded by
    way of a visitor, since they are no users of the run themselves.

    :returns: that switchboard; None where the run has no agents in this process.
    """
    board = _SWITCHBOARDS.find(vu)
    if board is not None:
        board.attach(vu)
    return board
