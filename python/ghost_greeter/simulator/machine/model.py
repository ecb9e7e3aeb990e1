"""What the signaling server knows of agents, visitors and calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ghost_greeter.events import Key
from ghost_greeter.simulator.machine.timers import Timer
from ghost_greeter.simulator.setup.clock import iso

__all__ = [
    "MAX_VISITORS",
    "STATUSES",
    "Agent",
    "Call",
    "Profile",
    "Request",
    "Visitor",
    "VisitorId",
]

MAX_VISITORS = 25
STATUSES = frozenset(("offline", "idle", "in_simulation", "in_call", "away"))

VisitorId = str | int | float


@dataclass(frozen=True, slots=True)
class Profile:
    """An agent's profile, as it is shown to visitors."""

    display_name: Any
    avatar_url: Any = None
    wave_video_url: Any = None
    intro_video_url: Any = None
    connect_video_url: Any = None
    loop_video_url: Any = None

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Profile:
        """The profile of an agent:login."""
        return cls(
            payload.get(Key.DISPLAY_NAME),
            payload.get(Key.AVATAR_URL),
            payload.get(Key.WAVE_VIDEO_URL),
            payload.get(Key.INTRO_VIDEO_URL),
            payload.get(Key.CONNECT_VIDEO_URL),
            payload.get(Key.LOOP_VIDEO_URL),
        )

    def fields(self) -> dict[str, Any]:
        """The fields after the id in every form of it; two null URLs become empty strings."""
        return {
            Key.DISPLAY_NAME: self.display_name,
            Key.AVATAR_URL: self.avatar_url,
            Key.WAVE_VIDEO_URL: self.wave_video_url,
            Key.INTRO_VIDEO_URL: _or_empty(self.intro_video_url),
            Key.CONNECT_VIDEO_URL: self.connect_video_url,
            Key.LOOP_VIDEO_URL: _or_empty(self.loop_video_url),
        }


def _or_empty(url: Any) -> Any:
    return "" if url is None else url


@dataclass(slots=True, eq=False)
class Visitor:
    """A visitor from its first join until its socket leaves.

    ``page`` is the payload of its last join, of its first one the organisation and the time count.
    ``agent`` is whom it is assigned to, ``listed_by`` who has it in its list: an agent that has
    rejected it, or has not answered, still does: see
    :mod:`~ghost_greeter.simulator.machine.assignment`.
    """

    visitor_id: VisitorId
    id_text: str  # as JSON
    socket_id: str
    org: dict[str, Any]  # {"orgId": ...}, or {} where the join named none
    page: dict[str, Any]  # {"pageUrl": ...}, or {}
    connected_at_ms: int
    agent: Agent | None = None
    listed_by: list[Agent] = field(default_factory=list)
    call: Call | None = None


@dataclass(slots=True, eq=False)
class Agent:
    """An agent. ``socket_id`` is None for one that has left the network.

    ``listed`` is its list of visitors: those who count against the 25, and those who are told when
    it cannot serve them any more. It may bear one twice. ``assigned`` counts the visitors that are
    assigned to it. ``last_assigned`` and ``revision`` belong to the queue that it is chosen from.
    """

    agent_id: str
    id_text: str
    socket_id: str | None
    profile: Profile
    card_text: str
    status: str
    created_at_ms: int
    connected_at_ms: int
    last_activity_ms: int
    heard_s: float
    serial: int
    listed: tuple[VisitorId, ...] = ()
    assigned: int = 0
    call: Call | None = None
    pending: dict[str, Request] = field(default_factory=dict)  # in order of their making
    queued: OrderedDict[str, Request] = field(default_factory=OrderedDict)  # those that do not ring
    status_before_offline: str = "away"
    grace: Timer | None = None
    last_assigned: int = 0
    revision: int = 0

    @property
    def is_free(self) -> bool:
        """May a call ring here?"""
        return self.call is None and self.status in ("idle", "in_simulation")

    @property
    def is_available(self) -> bool:
        """May it take one visitor more?"""
        return self.is_free and len(self.listed) < MAX_VISITORS

    def state(self) -> dict[str, Any]:
        """``agentState`` of login:success."""
        return {
            Key.AGENT_ID: self.agent_id,
            Key.SOCKET_ID: self.socket_id,
            Key.PROFILE: {
                Key.ID: self.agent_id,
                Key.USER_ID: self.agent_id,
                **self.profile.fields(),
                Key.STATUS: self.status,
                Key.MAX_SIMULTANEOUS_SIMULATIONS: MAX_VISITORS,
                Key.CREATED_AT: iso(self.created_at_ms),
                Key.UPDATED_AT: iso(self.created_at_ms),
            },
            Key.CURRENT_SIMULATIONS: list(self.listed),
            Key.CURRENT_CALL_VISITOR_ID: None if self.call is None else self.call.visitor_id,
            Key.CONNECTED_AT: self.connected_at_ms,
            Key.LAST_ACTIVITY_AT: self.last_activity_ms,
        }


@dataclass(slots=True, eq=False)
class Request:
    """A call that has been asked for and is neither accepted nor over.

    ``rings`` is False while it waits for its agent. ``ring_s`` is the ring-no-answer time that it
    was made with; ``ring_timer`` ends its ring in memory mode, ``ring_end_s`` in Redis mode, where
    ``expiry`` forgets the request.
    """

    request_id: str
    visitor_id: VisitorId
    agent: Agent
    page: dict[str, Any]
    text: str  # CallRequest as JSON
    made_s: float
    ring_s: float
    rings: bool = False
    ring_timer: Timer | None = None
    ring_end_s: float | None = None
    expiry: Timer | None = None


@dataclass(slots=True, eq=False)
class Call:
    """A call between a visitor and an agent. ``token`` is empty without a database."""

    call_id: str
    visitor_id: VisitorId
    agent: Agent
    started_at_ms: int
    token: str = ""
    timer: Timer | None = None
