"""Who is there, and whether what the server says reaches the one it is for."""

from __future__ import annotations

from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key
from ghost_greeter.metrics.visit import (
    DELIVERY,
    EVENTS_DUPLICATED,
    EVENTS_LOST,
    EVENTS_MISDELIVERED,
)
from ghost_greeter.payloads import payload_of
from ghost_greeter.scenarios.pages import PAGES
from ghost_greeter.server.census import census_of
from ghostcore import VU, Event, SocketIOSession, TargetError, Timeout, Trend

__all__ = [
    "JOIN_TIMEOUT_S",
    "Presence",
    "ask_to_join",
    "present",
    "visitor_id_of",
]

JOIN_TIMEOUT_S = 10.0

_NOBODY = ""


class _News:
    """What a visitor is told of its agent. It does not know its session, so leaves no cycle."""

    __slots__ = ("agent", "visitor_id", "vu")

    def __init__(self, vu: VU, visitor_id: object) -> None:
        self.vu = vu
        self.visitor_id = visitor_id
        self.agent: str | None = None  # the one assigned; "" if there is none; None: not told yet

    # Handlers of events: what a server says may be anything.

    def assigned(self, said: Any = None, *_: Any) -> None:
        if self._is_for_me(said):
            self._now(_id_of(said.get(Key.AGENT)))

    def unavailable(self, said: Any = None, *_: Any) -> None:
        if self._is_for_me(said):
            self._now(_NOBODY)

    def reassigned(self, said: Any = None, *_: Any) -> None:
        if isinstance(said, dict):
            self._now(_id_of(said.get(Key.NEW_AGENT)))

    def _is_for_me(self, said: Any) -> bool:
        if not isinstance(said, dict):
            return False
        visitor_id = said.get(Key.VISITOR_ID)
        if self.visitor_id is None:
            self.visitor_id = visitor_id
        if visitor_id == self.visitor_id:
            return True
        self.vu.record(EVENTS_MISDELIVERED)
        return False

    def _now(self, agent: str) -> None:
        if agent == self.agent:
            self.vu.record(EVENTS_DUPLICATED)
        self.agent = agent


def _id_of(card: Any) -> str:
    return str(card.get(Key.ID, "?")) if isinstance(card, dict) else "?"


class Presence:
    """A visitor on a connection: counted as there, and as told what it should be told once.

    :param visitor_id: of one that joins again; None: somebody new.
    """

    __slots__ = ("_census", "_session", "_vu")

    def __init__(self, vu: VU, session: SocketIOSession, visitor_id: object = None) -> None:
        self._vu = vu
        self._session = session
        self._census = census_of(vu)
        news = _News(vu, visitor_id)
        for metric in DELIVERY.counters:  # none so far is something that is known
            vu.record(metric, 0)
        session.on(events.AGENT_ASSIGNED, news.assigned)
        session.on(events.AGENT_UNAVAILABLE, news.unavailable)
        session.on(events.AGENT_REASSIGNED, news.reassigned)
        if self._census is not None:
            self._census.enters(vu, session)

    def joined(self) -> None:
        """The server has answered the join."""
        if self._census is not None:
            self._census.let_in(self._session)

    def refused(self, error: TargetError) -> None:
        """The join had no answer, or an error for one."""
        if isinstance(error, Timeout) and error.kind == "reply_timeout" and self._session.is_open:
            self._vu.record(EVENTS_LOST)


def present(vu: VU, session: SocketIOSession) -> None:
    """A connection is there that is no visitor's."""
    census = census_of(vu)
    if census is not None:
        census.enters(vu, session)
        census.let_in(session)


async def ask_to_join(
    vu: VU, session: SocketIOSession, metric: Trend, visitor_id: object = None
) -> Event:
    """Join from a random page and return the answer: agent:assigned, agent:unavailable or
    org:paused.

    The first answer counts, whatever it says. Duplicates of it are normal and change nothing: a
    request takes one.

    :param metric: for the time from the join to its answer.
    :param visitor_id: who joins again; None: somebody new.
    :raises TargetError: an ``error`` event, no answer within 10 s, or the session ended.
    """
    join: dict[str, object] = {Key.ORG_ID: vu.env["ORG_ID"], Key.PAGE_URL: vu.random.choice(PAGES)}
    if visitor_id is not None:
        join[Key.VISITOR_ID] = visitor_id
    presence = Presence(vu, session, visitor_id)
    try:
        answer = await session.request(
            events.VISITOR_JOIN,
            join,
            reply=(events.AGENT_ASSIGNED, events.AGENT_UNAVAILABLE, events.ORG_PAUSED),
            error=events.ERROR,
            timeout=JOIN_TIMEOUT_S,
            metric=metric,
        )
    except TargetError as error:
        presence.refused(error)
        raise
    presence.joined()
    return answer


def visitor_id_of(answer: Event) -> Any:
    """The id under which the server knows a visitor, from the answer to a join; None without."""
    return payload_of(answer).get(Key.VISITOR_ID)
