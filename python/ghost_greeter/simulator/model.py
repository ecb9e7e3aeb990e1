"""What the signaling server knows of agents and visitors, and how it shows them to clients.

The order of keys is the server's: a client that compares texts sees no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ghost_greeter.simulator.clock import iso

__all__ = [
    "MAX_VISITORS",
    "STATUSES",
    "WIDGET_SETTINGS",
    "Agent",
    "Emit",
    "Profile",
    "Visitor",
    "VisitorId",
]

MAX_VISITORS = 25
STATUSES = frozenset(("offline", "idle", "in_simulation", "in_call", "away"))

WIDGET_SETTINGS: dict[str, Any] = {
    "size": "medium",
    "position": "bottom-right",
    "devices": "all",
    "trigger_delay": 3,
    "auto_hide_delay": None,
    "show_minimize_button": False,
    "theme": "dark",
    "cobrowse_enabled": True,
}

VisitorId = str | int | float


class Emit(NamedTuple):
    """One event that is to be sent to one socket."""

    socket_id: str
    event: str
    payload: dict[str, Any]


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
            payload.get("displayName"),
            payload.get("avatarUrl"),
            payload.get("waveVideoUrl"),
            payload.get("introVideoUrl"),
            payload.get("connectVideoUrl"),
            payload.get("loopVideoUrl"),
        )

    def fields(self) -> dict[str, Any]:
        """The fields after the id in every form of it; two null URLs become empty strings."""
        return {
            "displayName": self.display_name,
            "avatarUrl": self.avatar_url,
            "waveVideoUrl": self.wave_video_url,
            "introVideoUrl": _or_empty(self.intro_video_url),
            "connectVideoUrl": self.connect_video_url,
            "loopVideoUrl": _or_empty(self.loop_video_url),
        }


def _or_empty(url: Any) -> Any:
    return "" if url is None else url


@dataclass(slots=True)
class Visitor:
    """A visitor from its first join until its socket leaves."""

    visitor_id: VisitorId
    socket_id: str
    org_id: Any
    page_url: Any
    connected_at_ms: int
    agent: Agent | None = None


@dataclass(slots=True, eq=False)
class Agent:
    """An agent. ``socket_id`` is None for one that is built in, or away from the network.

    ``last_assigned`` and ``revision`` belong to the queue that agents are chosen from.
    """

    agent_id: str
    socket_id: str | None
    profile: Profile
    status: str
    created_at_ms: int
    connected_at_ms: int
    last_activity_ms: int
    serial: int
    visitors: dict[VisitorId, Visitor] = field(default_factory=dict)
    status_before_offline: str = "away"
    last_assigned: int = 0
    revision: int = 0

    @property
    def is_available(self) -> bool:
        """May it take one visitor more?"""
        return self.status in ("idle", "in_simulation") and len(self.visitors) < MAX_VISITORS

    def card(self) -> dict[str, Any]:
        """AgentCard, as visitors get it."""
        return {"id": self.agent_id, **self.profile.fields()}

    def state(self) -> dict[str, Any]:
        """``agentState`` of login:success."""
        return {
            "agentId": self.agent_id,
            "socketId": self.socket_id,
            "profile": {
                "id": self.agent_id,
                "userId": self.agent_id,
                **self.profile.fields(),
                "status": self.status,
                "maxSimultaneousSimulations": MAX_VISITORS,
                "createdAt": iso(self.created_at_ms),
                "updatedAt": iso(self.created_at_ms),
            },
            "currentSimulations": list(self.visitors),
            "currentCallVisitorId": None,
            "connectedAt": self.connected_at_ms,
            "lastActivityAt": self.last_activity_ms,
        }
