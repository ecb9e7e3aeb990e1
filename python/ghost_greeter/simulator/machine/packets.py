"""What the server sends, as text: events that go to many are put together from prepared parts.

The order of keys is the server's, as is what it leaves out: a client that compares texts sees no
difference.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ghost_greeter.simulator.machine.model import Agent, Call, Profile, Request, Visitor

__all__ = [
    "RING_NO_ANSWER",
    "STALE",
    "WIDGET_SETTINGS",
    "acknowledgement",
    "assigned",
    "call_accepted",
    "call_cancelled",
    "call_ended",
    "call_incoming",
    "call_started",
    "card",
    "error",
    "event",
    "js",
    "login_success",
    "marked_away",
    "reassigned",
    "request_text",
    "stats",
    "unavailable",
]

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

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_LONE = re.compile("[\ud800-\udfff]")


def js(value: object) -> str:
    """A value as JavaScript's ``JSON.stringify`` writes it: half of a surrogate pair, which a
    client may have sent, is escaped, and what is too large for a number is null."""
    try:
        text = _encode(value)
    except ValueError:
        text = _encode(_finite(value))
    if text.isascii():
        return text
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_WIDGET = '"widgetSettings":' + js(WIDGET_SETTINGS)

RING_NO_ANSWER = (
    "ring_no_answer",
    "You've been marked as Away because you didn't answer an incoming call.",
)
STALE = ("idle", "You've been marked as Away due to inactivity.")


def event(name: str, payload: object) -> str:
    """Any event with one argument."""
    return f'42["{name}",{js(payload)}]'


def acknowledgement(ack_id: int, payload: object) -> str:
    """The acknowledgement of an event."""
    return f"43{ack_id}[{js(payload)}]"


def card(agent_id: str, profile: Profile) -> str:
    """AgentCard, as visitors get it; made once for an agent."""
    return js({"id": agent_id, **profile.fields()})


def assigned(visitor: Visitor, agent: Agent, *, waited: bool = False) -> str:
    """agent:assigned; with the time of the visitor's join where it had to wait."""
    since = f',"visitorConnectedAt":{visitor.connected_at_ms}' if waited else ""
    return (
        f'42["agent:assigned",{{"agent":{agent.card_text},'
        f'"visitorId":{visitor.id_text},{_WIDGET}{since}}}]'
    )


def unavailable(visitor: Visitor, previous: Agent | None = None, reason: str = "") -> str:
    """agent:unavailable; with a reason, and the name of the agent that it is about."""
    why = ""
    if previous is not None:
        why = f',"previousAgentName":{js(previous.profile.display_name)},"reason":"{reason}"'
    return f'42["agent:unavailable",{{"visitorId":{visitor.id_text},{_WIDGET},"poolId":null{why}}}]'


def reassigned(previous: Agent, new: Agent, reason: str) -> str:
    """agent:reassigned."""
    return (
        f'42["agent:reassigned",{{"previousAgentId":{previous.id_text},'
        f'"newAgent":{new.card_text},"reason":"{reason}"}}]'
    )


def login_success(agent: Agent) -> str:
    """login:success."""
    return event("login:success", {"agentState": agent.state()})


def stats(agent: Agent) -> str:
    """stats:update."""
    return f'42["stats:update",{{"poolVisitors":{agent.assigned}}}]'


def marked_away(reason_and_message: tuple[str, str]) -> str:
    """agent:marked_away."""
    reason, message = reason_and_message
    return event("agent:marked_away", {"reason": reason, "message": message})


def error(code: str, message: str) -> str:
    """The event ``error``."""
    return event("error", {"code": code, "message": message})


def request_text(
    request_id: str, visitor: Visitor, agent: Agent, page: Mapping[str, Any], requested_at_ms: int
) -> str:
    """CallRequest."""
    return js(
        {
            "requestId": request_id,
            "visitorId": visitor.visitor_id,
            "agentId": agent.agent_id,
            **visitor.org,
            **page,
            "requestedAt": requested_at_ms,
        }
    )


def call_incoming(request: Request, visitor: Visitor) -> str:
    """call:incoming."""
    brief = js(
        {
            "visitorId": visitor.visitor_id,
            **visitor.page,
            "connectedAt": visitor.connected_at_ms,
            "location": None,
        }
    )
    return f'42["call:incoming",{{"request":{request.text},"visitor":{brief}}}]'


def call_cancelled(request: Request) -> str:
    """call:cancelled."""
    return f'42["call:cancelled",{{"requestId":"{request.request_id}"}}]'


def call_accepted(call: Call) -> str:
    """call:accepted."""
    return (
        f'42["call:accepted",{{"callId":"{call.call_id}","agentId":{call.agent.id_text},'
        f'"reconnectToken":"{call.token}"}}]'
    )


def call_started(call: Call, page: Mapping[str, Any], log_id: str | None) -> str:
    """call:started."""
    return event(
        "call:started",
        {
            "call": {
                "callId": call.call_id,
                "visitorId": call.visitor_id,
                "agentId": call.agent.agent_id,
                "startedAt": call.started_at_ms,
                "endedAt": None,
                "callLogId": log_id,
            },
            "visitor": {"visitorId": call.visitor_id, **page},
        },
    )


def call_ended(call_id: str, reason: str, message: str | None = None) -> str:
    """call:ended."""
    said = {} if message is None else {"message": message}
    return event("call:ended", {"callId": call_id, "reason": reason, **said})
