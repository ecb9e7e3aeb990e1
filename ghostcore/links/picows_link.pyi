import socket
from ssl import SSLContext

from ghostcore.protocol.handshake import Upgrade
from ghostcore.sessions.session import Session

async def open_link(
    session: Session,
    sock: socket.socket,
    upgrade: Upgrade,
    *,
    ssl: SSLContext | None,
    server_hostname: str | None,
) -> bool:
    """Upgrade a connected socket to a WebSocket for this session.

    :param sock: connected, non-blocking; owned by the connection from here on.
    :param upgrade: the Upgrade to ask for.
    :raises HandshakeRejected: the server's answer was no valid upgrade.
    :raises OSError: the connection was lost, or TLS failed.
    :returns: True when the session is open, False when the server ended the connection instead.
    """
