"""One connection before the load: is that a Socket.IO server at all?"""

from __future__ import annotations

import asyncio

from ghostcore import HandshakeRejected, InvalidPlan, TargetError, socketio

__all__ = ["probe"]

TIMEOUT_S = 10.0

_NO_SERVER = {
    "dns_failure": "its name does not resolve",
    "tls_failed": "it does not speak TLS (ws:// or http:// without), or not with us",
    "tls_certificate": "its certificate is not accepted",
    "upgrade_rejected": "it does not upgrade to WebSocket",
    "upgrade_invalid": "it does not answer an upgrade as a WebSocket server does",
    "open_timeout": "it is a WebSocket server, but sends no Engine.IO open packet",
    "connect_error": "it lets nobody into its namespace",
    "protocol_violation": "it does not speak Engine.IO 4 and Socket.IO 5",
    "message_too_big": "it does not speak Engine.IO 4 and Socket.IO 5",
}
"""Kinds of errors that a server that is merely down or overloaded does not bring about."""

_PASSING_STATUS = (408, 425, 429)


def probe(url: str) -> str:
    """Open one Socket.IO session and leave again.

    A server that cannot be reached is no mistake of the plan but what the run is to find: refused
    connections, which fail it. So that is only said.

    :returns: why the run is likely to fail; "" if it is a Socket.IO server.
    :raises InvalidPlan: there is a server, but it is none that the suite could load.
    """
    try:
        asyncio.run(_open(url))
    except TargetError as error:
        said = "".join(char if char.isprintable() else "?" for char in error.detail)[:300]
        if error.kind in _NO_SERVER and not _passes(error):
            raise InvalidPlan(
                [
                    f"SERVER_URL: {url} is no Socket.IO server: {_NO_SERVER[error.kind]} "
                    f"({error.kind}: {said}). Expected one that answers "
                    "/socket.io/?EIO=4&transport=websocket: check scheme, host and port"
                ]
            ) from None
        return (
            f"{url} took no connection before the load ({error.kind}: {said}): the server is down, "
            "or the URL is wrong (wss:// for TLS, ws:// without). The run goes on, and fails if "
            "connections do"
        )
    return ""


def _passes(error: TargetError) -> bool:
    """Is it an answer of a server, or of what stands before it, that has trouble just now?"""
    status = error.status if isinstance(error, HandshakeRejected) else 0
    return status >= 500 or status in _PASSING_STATUS


async def _open(url: str) -> None:
    async with socketio(url, timeout=TIMEOUT_S):
        pass
