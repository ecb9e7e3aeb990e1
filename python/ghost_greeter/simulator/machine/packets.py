"""What the server sends, as text: events that go to many are put together from prepared parts.

The order of keys is the server's, as is what it leaves out: a client that compares texts sees no
difference.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key, Reason
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
    "call_reconnected",
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


_WIDGET = f'"{Key.WIDGET_SETTINGS}":{js(WIDGET_SETTINGS)}'

RING_NO_ANSWER = (
    Reason.RING_NO_ANSWER,
    "You've been marked as Away because you didn't answer an incoming call.",
)
STALE = (Reason.IDLE, "You've been marked as Away due to inactivity.")


def _template(name: str, *keys: str) -> str:
    """An event whose object has these keys, to be filled in by ``%`` with as many values, each of
    them JSON already; the object is left open: ``}]`` ends it."""
    fields = ",".join(f'"{key}":%s' for key in keys)
    return f'42["{name}",{{{fields}'


_ASSIGNED = _template(events.AGENT_ASSIGNED, Key.AGENT, Key.VISITOR_ID) + f",{_WIDGET}"
_WAITED = f',"{Key.VISITOR_CONNECTED_AT}":%d'
_UNAVAILABLE = (
    _template(events.AGENT_UNAVAILABLE, Key.VISITOR_ID) + f',{_WIDGET},"{Key.POOL_ID}":null'
)
_WHY = f',"{Key.PREVIOUS_AGENT_NAME}":%s,"{Key.REASON}":"%s"'
_REASSIGNED = (
    _template(events.AGENT_REASSIGNED, Key.PREVIOUS_AGENT_ID, Key.NEW_AGENT, Key.REASON) + "}]"
)
_STATS = _template(events.STATS_UPDATE, Key.POOL_VISITORS) + "}]"
_INCOMING = _template(events.CALL_INCOMING, Key.REQUEST, Key.VISITOR) + "}]"
_CANCELLED = _template(events.CALL_CANCELLED, Key.REQUEST_ID) + "}]"
_ACCEPTED = _template(events.CALL_ACCEPTED, Key.CALL_ID, Key.AGENT_ID, Key.RECONNECT_TOKEN) + "}]"
_RECONNECTED = _template(events.CALL_RECONNECTED, Key.CALL_ID, Key.RECONNECT_TOKEN, Key.PEER_ID)


def event(name: str, payload: object) -> str:
    """Any event with one argument."""
    return f'42["{name}",{js(payload)}]'


def acknowledgement(ack_id: int, payload: object) -> str:
    """The acknowledgement of an event."""
    return f"43{ack_id}[{js(payload)}]"


def card(agent_id: str, profile: Profile) -> str:
    """AgentCard, as visitors get it; made once for an agent."""
    return js({Key.ID: agent_id, **profile.fields()})


def assigned(visitor: Visitor, agent: Agent, *, waited: bool = False) -> str:
    """agent:assigned; with the time of the visitor's join where it had to wait."""
    since = _WAITED % visitor.connected_at_ms if waited else ""
    return _ASSIGNED % (agent.card_text, visitor.id_text) + since + "}]"


def unavailable(visitor: Visitor, previous: Agent | None = None, reason: str = "") -> str:
    """agent:unavailable; with a reason, and the name of the agent that it is about."""
    why = ""
    if previous is not None:
        why = _WHY % (js(previous.profile.display_name), reason)
    return _UNAVAILABLE % visitor.id_text + why + "}]"


def reassigned(previous: Agent, new: Agent, reason: str) -> str:
    """agent:reassigned."""
    return _REASSIGNED % (previous.id_text, new.card_text, f'"{reason}"')


def login_success(agent: Agent) -> str:
    """login:success."""
    return event(events.LOGIN_SUCCESS, {Key.AGENT_STATE: agent.state()})


def stats(agent: Agent) -> str:
    """stats:update."""
    return _STATS % agent.assigned


def marked_away(reason_and_message: tuple[str, str]) -> str:
    """agent:marked_away."""
    reason, message = reason_and_message
    return event(events.AGENT_MARKED_AWAY, {Key.REASON: reason, Key.MESSAGE: message})


def error(code: str, message: str) -> str:
    """The event ``error``."""
    return event(events.ERROR, {Key.CODE: code, Key.MESSAGE: message})


def request_text(
    request_id: str, visitor: Visitor, agent: Agent, page: Mapping[str, Any], requested_at_ms: int
) -> str:
    """CallRequest."""
    return js(
        {
            Key.REQUEST_ID: request_id,
            Key.VISITOR_ID: visitor.visitor_id,
            Key.AGENT_ID: agent.agent_id,
            **visitor.org,
            **page,
            Key.REQUESTED_AT: requested_at_ms,
        }
    )


def call_incoming(request: Request, visitor: Visitor) -> str:
    """call:incoming."""
    brief = js(
        {
            Key.VISITOR_ID: visitor.visitor_id,
            **visitor.page,
            Key.CONNECTED_AT: visitor.connected_at_ms,
            Key.LOCATION: None,
        }
    )
    return _INCOMING % (request.text, brief)


def call_cancelled(request: Request) -> str:
    """call:cancelled."""
    return _CANCELLED % f'"{request.request_id}"'


def call_accepted(call: Call) -> str:
    """call:accepted."""
    return _ACCEPTED % (f'"{call.call_id}"', call.agent.id_text, f'"{call.token}"')


def call_reconnected(call: Call, peer: Visitor | Agent, agent: Agent | None = None) -> str:
    """call:reconnected, about the other side; to the visitor with the card of its agent."""
    said = _RECONNECTED % (f'"{call.call_id}"', f'"{call.token}"', peer.id_text)
    card_text = "" if agent is None else f',"{Key.AGENT}":{agent.card_text}'
    return f"{said}{card_text}}}]"


def call_started(call: Call, page: Mapping[str, Any], log_id: str | None) -> str:
    """call:started."""
    return event(
        events.CALL_STARTED,
        {
            Key.CALL: {
                Key.CALL_ID: call.call_id,
                Key.VISITOR_ID: call.visitor_id,
                Key.AGENT_ID: call.agent.agent_id,
                Key.STARTED_AT: call.started_at_ms,
                Key.ENDED_AT: None,
                Key.CALL_LOG_ID: log_id,
            },
            Key.VISITOR: {Key.VISITOR_ID: call.visitor_id, **page},
        },
    )


def call_ended(call_id: str, reason: str, message: str | None = None) -> str:
    """call:ended."""
    said = {} if message is None else {Key.MESSAGE: message}
    return event(events.CALL_ENDED, {Key.CALL_ID: call_id, Key.REASON: reason, **said})
