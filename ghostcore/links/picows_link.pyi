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
) -> bool: ...
