"""What is passed on from one side to the other: signals of WebRTC, and cobrowsing."""

from __future__ import annotations

from typing import Any

from ghost_greeter import events
from ghost_greeter.events import Key
from ghost_greeter.simulator.machine import packets
from ghost_greeter.simulator.machine.core import Core

__all__ = ["COBROWSE_EVENTS", "Relay"]

COBROWSE_EVENTS = (
    events.COBROWSE_SNAPSHOT,
    events.COBROWSE_MOUSE,
    events.COBROWSE_SCROLL,
    events.COBROWSE_SELECTION,
)


class Relay:
    """Handler of webrtc:signal and cobrowse:*."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def signal(self, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """webrtc:signal goes to the target, whether there is a call or not."""
        core = self._core
        payload = args[0] if args else None
        if not isinstance(payload, dict):
            return
        sender = core.agent_of_socket.get(socket_id)
        visitor = core.visitor_of_socket.get(socket_id)
        if sender is not None:
            sender_id: object = sender.agent_id
        elif visitor is not None:
            sender_id = visitor.visitor_id
        else:
            return
        target_id = payload.get(Key.TARGET_ID)
        if not isinstance(target_id, str | int | float):
            return
        target = core.visitors.get(target_id) or core.agents.get(str(target_id))
        if target is not None:
            forwarded = {Key.TARGET_ID: sender_id}
            if Key.SIGNAL in payload:
                forwarded[Key.SIGNAL] = payload[Key.SIGNAL]
            core.send(target.socket_id, packets.event(events.WEBRTC_SIGNAL, forwarded))

    def cobrowse(self, event: str, socket_id: str, args: list[Any], _ack_id: int | None) -> None:
        """cobrowse:*: a visitor in a call shows it to its agent; from others it is dropped."""
        core = self._core
        visitor = core.visitor_of_socket.get(socket_id)
        payload = args[0] if args else None
        if visitor is None or visitor.call is None or not isinstance(payload, dict):
            return
        shown = {**payload, Key.VISITOR_ID: visitor.visitor_id}
        core.send(visitor.call.agent.socket_id, packets.event(event, shown))
