"""What events of the server carry: it may be anything, and what is no object is an empty one."""

from __future__ import annotations

from typing import Any

from ghost_greeter.events import Key
from ghostcore import ErrorReply, Event, TargetError

__all__ = ["error_code", "payload_of"]


def payload_of(event: object) -> dict[str, Any]:
    """The object that an event carries; an empty one for anything else."""
    payload = event.args[0] if isinstance(event, Event) and event.args else None
    return payload if isinstance(payload, dict) else {}


def error_code(error: TargetError) -> str:
    """The server's own code, where a request was answered with an error; "" without one."""
    code = payload_of(error.event).get(Key.CODE) if isinstance(error, ErrorReply) else None
    return code[:40] if isinstance(code, str) else ""
