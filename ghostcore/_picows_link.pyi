import socket
from ssl import SSLContext

from ghostcore._engine import Session
from ghostcore._handshake import Upgrade

async def open_link(
    session: Session,
    sock: socket.socket,
    upgrade: Upgrade,
    *,
    ssl: SSLContext | None,
    server_hostname: str | None,
) -> bool: ...
