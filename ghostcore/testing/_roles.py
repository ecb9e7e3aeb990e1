"""What the parts of the Socket.IO server share, so that a client need not import its connection."""

from __future__ import annotations

import base64
import itertools
import os
from typing import Protocol

__all__ = ["ACK", "CONNECT", "CONNECT_ERROR", "DISCONNECT", "EVENT", "ClientConnection", "new_sid"]

# Plain integers: comparing members of PacketType costs a look-up for each packet.
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = range(5)

_serial = itertools.count()


def new_sid() -> str:
    """A session id as npm's base64id makes it: 11 random bytes and a 32-bit counter, base64url."""
    raw = os.urandom(11) + (next(_serial) & 0xFFFFFFFF).to_bytes(4, "big")
    return base64.urlsafe_b64encode(raw).decode("ascii")


class ClientConnection(Protocol):
    """The connection of a Socket.IO client, as far as the client uses it."""

    def send_frames(self, frames: list[str | bytes]) -> None:
        """Send the frames of one packet: text as text, bytes as binary."""

    def send_text(self, frame: str) -> None:
        """Send one text frame as it is."""

    def send_packet(
        self, kind: int, namespace: str = "/", data: object = None, ack_id: int | None = None
    ) -> None:
        """Encode and send one packet."""

    def leave(self, namespace: str, reason: str) -> None:
        """Take the client of `namespace` out of it, and tell the server the reason."""

    def failed(self, where: str) -> None:
        """Count and log the exception being handled now: a handler's fault."""

    def close(self) -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """End the TCP connection now."""
